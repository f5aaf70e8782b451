import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from dpip.client.targets import Picture, check_targets, listed


def touch(*files: Path) -> None:
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()


def problems(pictures: Sequence[Picture], *, overwrite: bool = False) -> list[str]:
    return check_targets(pictures, overwrite=overwrite)[1]


def test_new_files_are_not_in_the_way(tmp_path: Path) -> None:
    """Pictures are returned as they came, to overwrite nothing that may appear meanwhile."""
    pictures = (Picture(tmp_path / "a.png", tmp_path / "out/a.png"),)
    touch(pictures[0].source)
    assert check_targets(pictures, overwrite=True) == (pictures, [])


@pytest.mark.parametrize("kind", ["file", "link", "dangling link"])
def test_a_file_that_is_there_is_replaced_only_if_that_is_allowed(
    tmp_path: Path, kind: str
) -> None:
    """It is named with the way to allow it; of all pictures only its own may replace something."""
    taken, free = (Picture(tmp_path / "in" / name, tmp_path / name) for name in ("a", "b"))
    touch(taken.source, free.source)
    if kind == "file":
        touch(taken.target)
    else:
        taken.target.symlink_to(tmp_path / "precious")
    if kind == "link":
        touch(tmp_path / "precious")
    (problem,) = problems([taken, free])
    assert problem.startswith(f"1 file would be overwritten: {taken.target}.")
    assert "--overwrite" in problem
    checked, none = check_targets([taken, free], overwrite=True)
    assert none == []
    assert [picture.replaces for picture in checked] == [True, False]


@pytest.mark.parametrize("reached", ["itself", "folder link", "file link", "hard link"])
def test_a_picture_of_the_batch_is_never_overwritten(tmp_path: Path, reached: str) -> None:
    """Not even where overwriting is allowed, by whatever path it is reached."""
    source, other = tmp_path / "in/a.png", tmp_path / "in/b.png"
    touch(source, other)
    out = tmp_path / "out"
    match reached:
        case "itself":
            out = tmp_path / "in"
        case "folder link":
            out.symlink_to(tmp_path / "in")
        case "file link":
            out.mkdir()
            (out / "a.png").symlink_to(source)
        case "hard link":
            out.mkdir()
            os.link(source, out / "a.png")
    pictures = [Picture(other, out / "a.png"), Picture(source, tmp_path / "elsewhere.png")]
    (problem,) = problems(pictures, overwrite=True)
    assert problem.startswith("1 picture to be filtered would be overwritten: ")
    assert str(out / "a.png") in problem


def test_two_pictures_cannot_become_one(tmp_path: Path) -> None:
    """Neither of the two is lost in silence, not even by a link to the folder."""
    one, two = tmp_path / "one/a.png", tmp_path / "two/a.png"
    touch(one, two)
    out, link = tmp_path / "out", tmp_path / "link"
    link.symlink_to(out)
    for overwrite in (False, True):
        pictures = [Picture(one, out / "a.png"), Picture(two, link / "a.png")]
        assert problems(pictures, overwrite=overwrite) == [
            f"{one} and {two} would both become {link / 'a.png'}."
        ]


def test_a_folder_is_not_replaced(tmp_path: Path) -> None:
    """It would be refused at the end, after all the work."""
    touch(tmp_path / "in/a.png")
    (tmp_path / "out/a.png").mkdir(parents=True)
    picture = Picture(tmp_path / "in/a.png", tmp_path / "out/a.png")
    (problem,) = problems([picture], overwrite=True)
    assert problem == f"1 folder in the place of a result: {picture.target}."


def test_many_paths_are_told_by_a_few_and_a_count() -> None:
    """A batch of thousands does not fill the screen."""
    assert listed([Path(str(number)) for number in range(5)]) == "0, 1, 2, 3, 4"
    assert listed([Path(str(number)) for number in range(12)]) == "0, 1, 2, 3, 4 and 7 more"
