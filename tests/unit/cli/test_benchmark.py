from pathlib import Path

import pytest

from dpip.cli.benchmark import Side, compare
from dpip.client.batch import Picture


def make_side(folder: Path, log: list[str], seconds: list[float], contents: list[bytes]) -> Side:
    out = folder
    pictures = [
        Picture(Path(f"{number}.png"), out / "sub" / f"{number}.png")
        for number in range(len(contents))
    ]
    taken = iter(seconds)

    def run() -> float:
        log.append(out.name)
        assert not any(picture.target.exists() for picture in pictures)
        for picture, content in zip(pictures, contents, strict=True):
            if content:
                picture.target.write_bytes(content)
        return next(taken)

    return Side(out=out, pictures=pictures, run=run)


def test_both_sides_take_turns_after_a_warm_up(tmp_path: Path) -> None:
    """Every run starts with an empty folder, and the warm-up counts for nothing."""
    log: list[str] = []
    rounds: list[int] = []
    limit = make_side(tmp_path / "limit", log, [9.0, 1.0, 2.0, 1.0], [b"a", b"b"])
    dpip = make_side(tmp_path / "dpip", log, [9.0, 2.0, 2.5, 4.0], [b"a", b"b"])
    comparison = compare(limit, dpip, rounds=3, on_round=rounds.append)
    assert log == ["limit", "dpip"] * 4
    assert rounds == [0, 1, 2, 3]
    assert comparison.ratios == (0.5, 0.8, 0.25)
    assert comparison.ratio == 0.5
    speed = comparison.limit.pictures_per_second
    assert (speed.median, speed.least, speed.most) == (2.0, 1.0, 2.0)
    assert comparison.dpip.milliseconds_a_picture.median == pytest.approx(1250)


def test_outputs_are_compared(tmp_path: Path) -> None:
    """Pictures that are missing on a side, and those that differ, are counted."""
    limit = make_side(tmp_path / "limit", [], [1.0, 1.0], [b"a", b"b", b"c"])
    dpip = make_side(tmp_path / "dpip", [], [1.0, 1.0], [b"a", b"B", b""])
    outputs = compare(limit, dpip, rounds=1, on_round=lambda _: None).outputs
    assert (outputs.limit, outputs.dpip, outputs.different) == (3, 2, 1)
