import errno
import os
from pathlib import Path
from typing import Any

import pytest

from dpip.client.whole_file import whole_file


def test_it_appears_at_the_end(tmp_path: Path) -> None:
    """Until then only its temporary name is there; it has the time that was asked for."""
    target = tmp_path / "a.png"
    with whole_file(target, replaces=False, modified_ns=1_000_000_000) as partial:
        partial.write_text("whole")
        assert not target.exists()
    assert target.read_text() == "whole"
    assert target.stat().st_mtime_ns == 1_000_000_000
    assert list(tmp_path.iterdir()) == [target]


def test_an_error_leaves_nothing(tmp_path: Path) -> None:
    """Nor does it harm what was there."""
    target = tmp_path / "a.png"
    target.write_text("old")

    def fail() -> None:
        with whole_file(target) as partial:
            partial.write_text("half")
            raise OSError

    with pytest.raises(OSError):  # noqa: PT011
        fail()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("has_links", [True, False])
def test_what_appears_meanwhile_is_not_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_links: bool
) -> None:
    """On a file system without hard links neither."""

    def no_link(*_: Any) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    if not has_links:
        monkeypatch.setattr(os, "link", no_link)
    target, free = tmp_path / "a.png", tmp_path / "b.png"

    def write(where: Path) -> None:
        with whole_file(where, replaces=False) as partial:
            partial.write_text("result")
            target.write_text("precious")

    with pytest.raises(FileExistsError):
        write(target)
    assert target.read_text() == "precious"
    write(free)
    assert free.read_text() == "result"
    assert sorted(tmp_path.iterdir()) == [target, free]
