"""Which pictures a batch is made of, and where each goes."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from msgspec import Struct

from dpip.client.batch import Picture

PICTURE_SUFFIXES = frozenset(
    {".avif", ".gif", ".jpe", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
)
"""What the name of a picture in a folder ends with, in whatever case."""


class Plan(Struct, frozen=True, kw_only=True):
    """The pictures to filter, how many files were ``left_alone``, and the ``problems``.

    A plan with problems cannot be carried out: each is a sentence that names the paths.
    """

    pictures: tuple[Picture, ...]
    left_alone: int
    problems: tuple[str, ...]


def plan_batch(paths: Sequence[Path], out: Path) -> Plan:
    """Find the pictures of ``paths``, files and folders, and their places below ``out``.

    A file that is named is always taken; of a folder, every file below it that has a picture's
    suffix and is not hidden. A file goes to ``out`` under its own name, one of a folder under its
    path below that folder.
    """
    pictures: list[Picture] = []
    problems: list[str] = []
    left_alone = 0
    for path in paths:
        if path.is_dir():
            for file in _files(path, out, problems):
                if _is_picture(file) and not _hidden(file, path):
                    pictures.append(Picture(file, out / file.relative_to(path)))
                else:
                    left_alone += 1
        elif path.exists() and not path.is_file():
            problems.append(f"{path} is no file.")
        elif path.exists():
            pictures.append(Picture(path, out / path.name))
        else:
            problems.append(f"There is no {path}.")
    if not pictures and not problems:
        problems.append(f"There is no picture in {', '.join(map(str, paths))}.")
    if out.exists() and not out.is_dir():
        problems.append(f"{out} is no folder.")
    return Plan(
        pictures=tuple(pictures),
        left_alone=left_alone,
        problems=(*problems, *_collisions(pictures)),
    )


def _files(folder: Path, leave: Path, problems: list[str]) -> Iterator[Path]:
    """All files below ``folder`` in the order of their paths, but those below ``leave``.

    Results of an earlier batch are no sources of the next. A folder that cannot be read is added to
    the ``problems``.
    """
    leave = leave.resolve()

    def note(error: OSError) -> None:
        if not _hidden(Path(error.filename), folder):
            problems.append(f"{error.filename} cannot be read: {error.strerror}.")

    for place, folders, names in os.walk(folder, onerror=note):
        here = Path(place)
        folders[:] = sorted(name for name in folders if (here / name).resolve() != leave)
        yield from (here / name for name in sorted(names))


def _is_picture(file: Path) -> bool:
    # What is there and no file, such as a pipe, could keep its reader waiting for ever.
    return file.suffix.lower() in PICTURE_SUFFIXES and (file.is_file() or not file.exists())


def _hidden(file: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in file.relative_to(folder).parts)


def _collisions(pictures: Sequence[Picture]) -> Iterator[str]:
    sources = {picture.source.resolve() for picture in pictures}
    taken: dict[Path, Path] = {}
    for picture in pictures:
        target = picture.target.resolve()
        if target in sources:
            yield f"{picture.target} is itself to be filtered and would be overwritten."
        elif target in taken:
            yield f"{taken[target]} and {picture.source} would both become {picture.target}."
        elif target.is_dir():
            yield f"{picture.source} would become {picture.target}, which is a folder."
        taken.setdefault(target, picture.source)
