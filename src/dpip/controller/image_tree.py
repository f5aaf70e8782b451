"""What lies in the image directories, by its names: workloads, and the files of their images."""

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from dpip.model.image import ImageKind
from dpip.plain_files import NOT_FOLLOWED

_ID = "[0-9a-z]" * 26
_WORKLOADS = f"[!.]*/{_ID}"
_IMAGES = f"{_ID}.*"


def workload_directories(root: Path) -> list[Path]:
    """The directory of each workload below ``root``; its name is the workload's id."""
    # A link in the place of one leads to what is not the store's.
    return [
        path
        for path in root.glob(_WORKLOADS)
        if not path.is_symlink() and not path.parent.is_symlink()
    ]


def image_files(directory: Path) -> list[Path]:
    """The files of the images of a workload; the stem of each is the image's id."""
    return [
        path
        for kind in ImageKind
        if not (directory / kind.value).is_symlink()
        for path in directory.glob(f"{kind.value}/{_IMAGES}")
    ]


def workloads_with_files(root: Path) -> Iterator[str]:
    """Ids of the workloads of which there are files of images."""
    return (each.name for each in workload_directories(root) if image_files(each))


def is_held(path: Path) -> bool:
    """Whether some process is about to record the image in the file ``path``.

    Raises ``OSError`` for what cannot be opened, links among them.
    """
    descriptor = os.open(path, NOT_FOLLOWED)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
