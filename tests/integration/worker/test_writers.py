"""What the kernel tells of those who have a file open."""

import mmap
import os
import sys
from pathlib import Path

import pytest

from dpip.worker.writers import take_over

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    return path


def test_a_file_that_is_open_to_be_written_has_a_writer(file: Path) -> None:
    """Until it is closed; who reads it is none."""
    with file.open("rb"):
        assert take_over(file, os.getuid())
    with file.open("r+b"):
        assert not take_over(file, os.getuid())
    assert take_over(file, os.getuid())


def test_a_file_that_is_mapped_to_be_written_has_a_writer(file: Path) -> None:
    """Though its descriptor is closed."""
    with file.open("r+b") as opened:
        pages = mmap.mmap(opened.fileno(), 0)
    assert not take_over(file, os.getuid())
    pages.close()
    assert take_over(file, os.getuid())


def test_it_can_be_opened_to_be_written_afterwards(file: Path) -> None:
    """Nobody waits for what was asked."""
    assert take_over(file, os.getuid())
    file.write_bytes(b"other")
    assert file.read_bytes() == b"other"


@pytest.mark.parametrize("how", ["link", "another name", "directory", "nothing"])
def test_what_is_no_file_of_one_name_is_not_vouched_for(file: Path, how: str) -> None:
    """Somebody could open it by that other name."""
    path = file.with_name("it")
    if how == "link":
        path.symlink_to(file)
    elif how == "another name":
        path.hardlink_to(file)
    elif how == "directory":
        path.mkdir()
    assert not take_over(path, os.getuid())
