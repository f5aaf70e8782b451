"""Where results go, checked before anything is sent: they replace nothing by mistake."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

_MOST_LISTED = 5

_Identity = tuple[int, int]
"""Device and inode: the same for a file under all of its names."""


class Picture(Struct, frozen=True):
    """Where a picture comes from, and where its filtered form goes.

    Unless it ``replaces`` the file that is there, one that is there is not overwritten.
    """

    source: Path
    target: Path
    replaces: bool = False


def check_targets(
    pictures: Sequence[Picture], *, overwrite: bool
) -> tuple[tuple[Picture, ...], list[str]]:
    """Return ``pictures``, marked where they replace a file, and what is in the way of them.

    A file that is there is in the way unless ``overwrite``. In any case are the batch's own
    sources, by whatever link or name they are reached, folders, and what another picture becomes.
    """
    sources = {_identity(picture.source) for picture in pictures} - {None}
    places = _Places()
    taken: dict[_Identity | Path, Path] = {}
    checked, originals, existing, folders, shared = [], [], [], [], []
    for picture in pictures:
        target = picture.target
        identity = _identity(target)
        other = taken.setdefault(identity or places.of(target), picture.source)
        if identity in sources:
            originals.append(target)
        elif other is not picture.source:
            shared.append(f"{other} and {picture.source} would both become {target}.")
        elif target.is_dir():
            folders.append(target)
        elif os.path.lexists(target):
            existing.append(target)
            picture = replace(picture, replaces=True)
        checked.append(picture)
    return tuple(checked), [
        *_sentences(originals, existing if not overwrite else [], folders),
        *shared[:_MOST_LISTED],
        *([f"{len(shared) - _MOST_LISTED} more collide so."] if shared[_MOST_LISTED:] else []),
    ]


def listed(paths: Sequence[Path]) -> str:
    """The first few of ``paths``, and how many more there are."""
    more = f" and {len(paths) - _MOST_LISTED} more" if len(paths) > _MOST_LISTED else ""
    return ", ".join(map(str, paths[:_MOST_LISTED])) + more


def _sentences(
    originals: Sequence[Path], existing: Sequence[Path], folders: Sequence[Path]
) -> Iterator[str]:
    if originals:
        yield (
            f"{_counted(originals, 'picture')} to be filtered would be overwritten: "
            f"{listed(originals)}. Choose another folder for --out."
        )
    if existing:
        yield (
            f"{_counted(existing, 'file')} would be overwritten: {listed(existing)}. "
            "Choose another folder for --out, or allow it with --overwrite."
        )
    if folders:
        yield f"{_counted(folders, 'folder')} in the place of a result: {listed(folders)}."


def _counted(paths: Sequence[Path], what: str) -> str:
    return f"{len(paths)} {what}{'' if len(paths) == 1 else 's'}"


def _identity(path: Path) -> _Identity | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


class _Places:
    """Where files would be made, whatever links lead there; each folder is looked up once."""

    def __init__(self) -> None:
        self._folders: dict[Path, Path] = {}

    def of(self, target: Path) -> Path:
        folder = target.parent
        if folder not in self._folders:
            self._folders[folder] = folder.resolve()
        return self._folders[folder] / target.name
