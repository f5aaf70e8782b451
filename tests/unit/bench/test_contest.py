from collections.abc import Sequence
from pathlib import Path

import pytest
import pyvips

from dpip.bench.contest import CannotTakePart, Comparison, Contest, LeftOut, compete
from dpip.client.targets import Picture

LIMIT_SECONDS = [9.0, 1.0, 2.0, 1.0]


class Runner:
    """A contender that writes a gray picture for each and says that it took so many seconds."""

    how = "made up"

    def __init__(self, name: str, seconds: list[float], log: list[str], shade: int = 100) -> None:
        self.name = name
        self._seconds = iter(seconds)
        self._log = log
        self._shade = shade

    def filter(self, pictures: Sequence[Picture], filter: str) -> float:  # noqa: A002
        self._log.append(self.name)
        assert not any(picture.target.exists() for picture in pictures)
        for picture in pictures:
            write(picture.target, self._shade)
        return next(self._seconds)


class Nobody(Runner):
    def filter(self, pictures: Sequence[Picture], filter: str) -> float:  # noqa: A002
        raise CannotTakePart(name=self.name, reason=f"it has no {filter}")


class Idle(Runner):
    def filter(self, pictures: Sequence[Picture], filter: str) -> float:  # noqa: A002
        return 0.1


def write(file: Path, shade: int) -> None:
    (pyvips.Image.black(8, 8) + shade).cast("uchar").pngsave(str(file))


def hold(
    tmp_path: Path, *contenders: Runner, rounds: int = 3, unfit: str | None = None
) -> Comparison:
    folder = tmp_path / "pictures"
    (folder / "sub").mkdir(parents=True)
    for number in range(2):
        write(folder / "sub" / f"{number}.png", 100)
    contest = Contest(
        mix="mine",
        folder=folder,
        filter="grayscale",
        scratch=tmp_path / "out",
        rounds=rounds,
        unfit=frozenset([folder / unfit] if unfit else []),
    )
    return compete(contest, contenders, lambda _number, _name: None)


def test_all_take_turns_after_a_warm_up(tmp_path: Path) -> None:
    """Every turn begins with an empty folder, every round with another; the warm-up is dropped."""
    log: list[str] = []
    limit = Runner("limit", LIMIT_SECONDS, log)
    dpip = Runner("dpip", [9.0, 2.0, 2.5, 4.0], log)
    comparison = hold(tmp_path, limit, dpip)
    assert log == ["limit", "dpip", "dpip", "limit", "limit", "dpip", "dpip", "limit"]
    assert comparison.ratio == 0.5
    shares = comparison.results[1].of_limit
    assert (shares.median, shares.least, shares.most) == (0.5, 0.25, 0.8)
    speed = comparison.results[0].pictures_per_second
    assert (speed.median, speed.least, speed.most) == (2.0, 1.0, 2.0)
    assert comparison.results[1].milliseconds_a_picture.median == pytest.approx(1250)


def test_outputs_are_judged(tmp_path: Path) -> None:
    """How far a contender's pictures lie from DPIP's own is part of its result."""
    limit = Runner("limit", LIMIT_SECONDS, [])
    darker = Runner("dpip", LIMIT_SECONDS, [], shade=90)
    judged = [result.outputs for result in hold(tmp_path, limit, darker).results]
    assert [each.difference for each in judged] == [0, 10]
    assert [(each.pictures, each.wrong, each.missing) for each in judged] == [(2, 0, 0)] * 2


def test_who_cannot_take_part_is_left_out(tmp_path: Path) -> None:
    """One that refuses, and one that leaves no pictures, are named with the reason."""
    limit = Runner("limit", LIMIT_SECONDS, [])
    dpip = Runner("dpip", LIMIT_SECONDS, [])
    comparison = hold(tmp_path, limit, dpip, Nobody("vips", [], []), Idle("ipx", [], []))
    assert [result.name for result in comparison.results] == ["limit", "dpip"]
    assert comparison.left_out == (
        LeftOut(name="vips", reason="it has no grayscale"),
        LeftOut(name="ipx", reason="2 of 2 pictures did not come out"),
    )


class Tires(Runner):
    def filter(self, pictures: Sequence[Picture], filter: str) -> float:  # noqa: A002
        if self._log.count(self.name) == 2:
            raise CannotTakePart(name=self.name, reason="it took longer than 60 s")
        return super().filter(pictures, filter)


def test_who_gives_up_is_left_out_and_the_others_go_on(tmp_path: Path) -> None:
    """One that fails in a later round costs nobody else a turn."""
    log: list[str] = []
    limit, dpip = Runner("limit", LIMIT_SECONDS, log), Runner("dpip", LIMIT_SECONDS, log)
    comparison = hold(tmp_path, limit, dpip, Tires("thumbor", LIMIT_SECONDS, log))
    assert [result.turns for result in comparison.results] == [3, 3]
    assert comparison.left_out == (LeftOut(name="thumbor", reason="it took longer than 60 s"),)


def test_dpip_is_never_left_out(tmp_path: Path) -> None:
    """Without the limit or DPIP there is nothing to compare."""
    with pytest.raises(CannotTakePart):
        hold(tmp_path, Runner("limit", LIMIT_SECONDS, []), Nobody("dpip", [], []))


def test_one_turn_of_a_slow_contender_is_enough(tmp_path: Path) -> None:
    """Whoever takes far longer than the limit is compared by one turn, after its warm-up."""
    log: list[str] = []
    limit = Runner("limit", [1.0, 1.0, 2.0, 3.0], log)
    dpip = Runner("dpip", [1.0] * 4, log)
    result = hold(tmp_path, limit, dpip, Runner("mogrify", [9.0, 8.0], log)).results[2]
    assert (log.count("mogrify"), result.turns) == (2, 1)
    assert result.of_limit.median == 0.25


def test_nobody_is_given_what_cannot_be_filtered(tmp_path: Path) -> None:
    """It counts in no figure, and is named."""
    limit = Runner("limit", LIMIT_SECONDS, [])
    comparison = hold(tmp_path, limit, Runner("dpip", LIMIT_SECONDS, []), unfit="sub/1.png")
    assert comparison.unfit == (str(tmp_path / "pictures/sub/1.png"),)
    assert comparison.pictures == 1
    assert [result.outputs.missing for result in comparison.results] == [0, 0]
