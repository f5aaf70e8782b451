"""Which pictures a batch is made of, and where each goes."""

import os
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from msgspec import Struct, field

from dpip.client.targets import Picture, check_targets, listed

PICTURE_SUFFIXES = frozenset(
    {".avif", ".gif", ".jpe", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
)
"""What the name of a picture in a folder ends with, in whatever case."""


class Unreadable(Struct, frozen=True):
    """A folder whose pictures are missing from the batch, and why."""

    folder: Path
    reason: str


class Skipped(Struct, kw_only=True):
    """What lies in the folders and is not filtered.

    ``unsupported`` counts files by suffix, in lower case; ``special`` counts pipes, devices and the
    like under a picture's name. Links to folders are not followed: they may lead anywhere.
    """

    unsupported: Counter[str] = field(default_factory=Counter)
    hidden: int = 0
    special: int = 0
    linked_folders: list[Path] = field(default_factory=list)
    unreadable: list[Unreadable] = field(default_factory=list)


class Plan(Struct, frozen=True, kw_only=True):
    """The pictures to filter, what was ``skipped``, and the ``problems``.

    A plan with problems cannot be carried out: each is a sentence that names the paths.
    """

    pictures: tuple[Picture, ...]
    skipped: Skipped
    problems: tuple[str, ...]


def plan_batch(paths: Sequence[Path], out: Path, *, overwrite: bool = False) -> Plan:
    """Find the pictures of ``paths``, files and folders, and their places below ``out``.

    A file that is named is always taken; of a folder, every file below it that has a picture's
    suffix and is not hidden. A file goes to ``out`` under its own name, one of a folder under its
    path below that folder. A file that is there already is a problem unless ``overwrite``; a
    picture of the batch itself is one in any case.
    """
    found: list[Picture] = []
    problems: list[str] = []
    skipped = Skipped()
    for path in paths:
        mode = _mode(path)
        if stat.S_ISDIR(mode):
            found += (
                Picture(file, out / file.relative_to(path))
                for file in _pictures_below(path, out, skipped)
            )
        elif stat.S_ISREG(mode):
            found.append(Picture(path, out / path.name))
        else:
            problems.append(_why_not(path))
    if not found and not problems:
        problems += [f"{each.folder} cannot be read: {each.reason}." for each in skipped.unreadable]
        problems.append(f"There is no picture in {listed(paths)}.")
    if out.exists() and not out.is_dir():
        problems.append(f"{out} is not a folder.")
    pictures, in_the_way = check_targets(found, overwrite=overwrite)
    return Plan(pictures=pictures, skipped=skipped, problems=(*problems, *in_the_way))


def _why_not(path: Path) -> str:
    try:
        path.stat()
    except FileNotFoundError:
        return f"{path} does not exist."
    except OSError as error:
        return f"{path} cannot be read: {error.strerror}."
    return f"{path} is neither a file nor a folder."


def _pictures_below(folder: Path, leave: Path, skipped: Skipped) -> Iterator[Path]:
    """The pictures below ``folder`` in the order of their paths, but those below ``leave``.

    Results of an earlier batch are no sources of the next.
    """
    leave = leave.resolve()

    def note(error: OSError) -> None:
        closed = Path(error.filename)
        if not _hidden(closed, folder):
            skipped.unreadable.append(Unreadable(closed, error.strerror or str(error)))

    for place, folders, names in os.walk(folder, onerror=note):
        here = Path(place)
        links = [name for name in sorted(folders) if (here / name).is_symlink()]
        skipped.linked_folders += (
            here / name for name in links if not _hidden(here / name, folder)
        )
        folders[:] = sorted(
            name for name in folders if name not in links and (here / name).resolve() != leave
        )
        for file in (here / name for name in sorted(names)):
            if _hidden(file, folder):
                skipped.hidden += 1
            elif (suffix := file.suffix.lower()) not in PICTURE_SUFFIXES:
                skipped.unsupported[suffix] += 1
            elif (mode := _mode(file)) and not stat.S_ISREG(mode):
                skipped.special += 1  # Reading a pipe might never end.
            else:
                yield file


def _mode(path: Path) -> int:
    """What ``path`` is, or 0 where that cannot be told; whoever reads it will say why."""
    try:
        return path.stat().st_mode
    except OSError:
        return 0


def _hidden(file: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in file.relative_to(folder).parts)
