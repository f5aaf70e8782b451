"""What lies in the image directories, by its names: workloads, and the files of their images."""

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from dpip.model.image import ImageKind

_ID = "[0-9a-z]" * 26
_WORKLOADS = f"[!.]*/{_ID}"
_IMAGES = f"{_ID}.*"
_NOT_FOLLOWED = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def workload_directories(root: Path) -> list[Path]:
    """The directory of each workload below ``root``; its name is the workload's id."""
    return [*root.glob(_WORKLOADS)]


def image_files(directory: Path) -> list[Path]:
    """The files of the images of a workload; the stem of each is the image's id."""
    return [path for kind in ImageKind for path in directory.glob(f"{kind.value}/{_IMAGES}")]


def workloads_with_files(root: Path) -> Iterator[str]:
    """Ids of the workloads of which there are files of images."""
    return (each.name for each in workload_directories(root) if image_files(each))


def is_held(path: Path) -> bool:
    """Whether some process is about to record the image in the file ``path``.

    Raises ``OSError`` for what cannot be opened, links among them.
    """
    descriptor = os.open(path, _NOT_FOLLOWED)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
