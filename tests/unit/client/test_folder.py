import errno
import os
from pathlib import Path
from typing import Any

import pytest

from dpip.client.folder import Unreadable, plan_batch
from dpip.client.targets import Picture


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_a_folder_keeps_its_structure(tmp_path: Path) -> None:
    """Pictures below a folder go to the same place below the output, in order of their names."""
    touch(tmp_path / "in", "b.JPG", "a.png", "sub/a.png")
    plan = plan_batch([tmp_path / "in"], tmp_path / "out")
    assert plan.pictures == tuple(
        Picture(tmp_path / "in" / name, tmp_path / "out" / name)
        for name in ("a.png", "b.JPG", "sub/a.png")
    )
    assert plan.problems == ()


def test_what_is_no_picture_is_counted(tmp_path: Path) -> None:
    """Files without a picture's suffix by suffix; hidden files, and those in hidden folders."""
    touch(tmp_path / "in", "a.png", "x.HEIC", "sub/y.heic", "z.nef", "LICENSE")
    touch(tmp_path / "in", ".hidden.png", ".git/b.png")
    plan = plan_batch([tmp_path / "in"], tmp_path / "out")
    assert [picture.source.name for picture in plan.pictures] == ["a.png"]
    assert plan.skipped.unsupported == {".heic": 2, ".nef": 1, "": 1}
    assert plan.skipped.hidden == 2


def test_links_to_folders_are_named_and_not_followed(tmp_path: Path) -> None:
    """They may lead in a circle, or to all that there is; one that is named is followed."""
    touch(tmp_path / "in", "a.png", "sub/b.png")
    touch(tmp_path / "elsewhere", "c.png")
    (tmp_path / "in/circle").symlink_to(tmp_path / "in")
    (tmp_path / "in/sub/more").symlink_to(tmp_path / "elsewhere")
    plan = plan_batch([tmp_path / "in"], tmp_path / "out")
    assert [picture.source.name for picture in plan.pictures] == ["a.png", "b.png"]
    assert plan.skipped.linked_folders == [tmp_path / "in/circle", tmp_path / "in/sub/more"]
    named = plan_batch([tmp_path / "in/sub/more"], tmp_path / "out")
    assert [picture.target for picture in named.pictures] == [tmp_path / "out/c.png"]


def test_a_folder_that_cannot_be_read_is_named_and_holds_up_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its pictures would be missed without a word; those of a hidden one are left alone anyway."""
    closed = Unreadable(tmp_path / "in/closed", "Permission denied")
    touch(tmp_path / "in", "a.png", "closed/b.png", ".closed/c.png")
    scandir = os.scandir

    def refuse(path: str) -> Any:
        if str(path).endswith("closed"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    plan = plan_batch([tmp_path / "in"], tmp_path / "out")
    assert plan.skipped.unreadable == [closed]
    assert [picture.source.name for picture in plan.pictures] == ["a.png"]
    assert plan.problems == ()
    (tmp_path / "in/a.png").unlink()
    assert plan_batch([tmp_path / "in"], tmp_path / "out").problems == (
        f"{tmp_path / 'in/closed'} cannot be read: Permission denied.",
        f"There is no picture in {tmp_path / 'in'}.",
    )


def test_a_file_that_is_named_is_always_taken(tmp_path: Path) -> None:
    """Its suffix does not matter; it goes to the output under its own name."""
    touch(tmp_path, "sub/.frame")
    plan = plan_batch([tmp_path / "sub/.frame"], tmp_path / "out")
    assert plan.pictures == (Picture(tmp_path / "sub/.frame", tmp_path / "out/.frame"),)


def test_results_below_a_source_folder_are_no_sources(tmp_path: Path) -> None:
    """A second run with the output inside of the input does not filter the results of the first."""
    touch(tmp_path, "a.png", "out/a.png")
    plan = plan_batch([tmp_path], tmp_path / "out", overwrite=True)
    assert plan.pictures == (Picture(tmp_path / "a.png", tmp_path / "out/a.png", replaces=True),)


def test_missing_paths_are_named(tmp_path: Path) -> None:
    """Each path that is not there is a problem of its own."""
    plan = plan_batch([tmp_path / "x", tmp_path / "y"], tmp_path / "out")
    assert plan.problems == (
        f"{tmp_path / 'x'} does not exist.",
        f"{tmp_path / 'y'} does not exist.",
    )


def test_nothing_to_do_is_a_problem(tmp_path: Path) -> None:
    """A folder without a picture is named."""
    assert plan_batch([tmp_path], tmp_path / "out").problems == (
        f"There is no picture in {tmp_path}.",
    )


def test_an_output_that_is_a_file_is_a_problem(tmp_path: Path) -> None:
    """The output is a folder or does not exist yet."""
    touch(tmp_path, "a.png", "out")
    assert plan_batch([tmp_path / "a.png"], tmp_path / "out").problems == (
        f"{tmp_path / 'out'} is not a folder.",
    )


def test_a_pipe_is_no_picture(tmp_path: Path) -> None:
    """In a folder it is left alone, and named it is a problem: reading it might never end."""
    folder = tmp_path / "in"
    folder.mkdir()
    os.mkfifo(folder / "pipe.png")
    (folder / "a.png").write_bytes(b"")
    plan = plan_batch([folder], tmp_path / "out")
    assert [picture.source.name for picture in plan.pictures] == ["a.png"]
    assert plan.skipped.special == 1
    assert (
        "is neither a file nor a folder"
        in plan_batch([folder / "pipe.png"], tmp_path / "out").problems[0]
    )
