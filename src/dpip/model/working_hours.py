"""The hours of the day in which a worker works."""

import re
from collections.abc import Iterable
from datetime import time
from typing import NamedTuple, Self

from dpip.errors import InvalidValue

_MOST_RANGES = 6
_RANGE = re.compile(r"([0-9]{1,2}):([0-9]{2})-([0-9]{1,2}):([0-9]{2})")
_END_OF_DAY = 24 * 60


class HourRange(NamedTuple):
    """From a minute of the day up to another; over midnight if that comes first."""

    begin: int
    end: int

    def __str__(self) -> str:
        return f"{_clock(self.begin)}-{_clock(self.end)}"

    def include(self, minute: int) -> bool:
        """Whether ``minute`` of the day lies within: ``begin`` does, ``end`` does not."""
        if self.begin < self.end:
            return self.begin <= minute < self.end
        return minute >= self.begin or minute < self.end


class WorkingHours:
    """Ranges of the day, by the clock on the wall: that of the machine's time zone.

    So where clocks change twice a year, a range has an hour less on one day and one more on
    another.
    """

    def __init__(self, ranges: Iterable[HourRange]) -> None:
        self.ranges = tuple(ranges)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``20:00-08:00`` or several such ranges, separated by commas.

        Raises ``InvalidValue``.
        """
        ranges = [_parse_range(part.strip(), text) for part in text.split(",")]
        if len(ranges) > _MOST_RANGES:
            raise _invalid(text, f"there may be {_MOST_RANGES} ranges at most")
        return cls(ranges)

    def __str__(self) -> str:
        return ",".join(str(each) for each in self.ranges)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, WorkingHours) and self.ranges == other.ranges

    def __hash__(self) -> int:
        return hash(self.ranges)

    def include(self, at: time) -> bool:
        """Whether the clock on the wall shows one of these hours."""
        minute = at.hour * 60 + at.minute
        return any(each.include(minute) for each in self.ranges)

    def as_words(self) -> str:
        """Return them as in "from 20:00 to 08:00 and from 12:00 to 13:00"."""
        return " and ".join(
            f"from {_clock(each.begin)} to {_clock(each.end)}" for each in self.ranges
        )


def _parse_range(part: str, text: str) -> HourRange:
    found = _RANGE.fullmatch(part)
    if not found:
        raise _invalid(text, f"{part!r} is no range of hours")
    begin_hour, begin_minute, end_hour, end_minute = (int(number) for number in found.groups())
    begin, end = begin_hour * 60 + begin_minute, end_hour * 60 + end_minute
    if max(begin_minute, end_minute) > 59 or begin >= _END_OF_DAY or end > _END_OF_DAY:
        raise _invalid(text, f"{part!r} has a time that no day has")
    if begin == end % _END_OF_DAY and end != _END_OF_DAY:
        raise _invalid(text, f"{part!r} ends where it begins; 00:00-24:00 is the whole day")
    return HourRange(begin, end)


def _invalid(text: str, reason: str) -> InvalidValue:
    return InvalidValue(
        field="working hours",
        value=text,
        allowed=f"{reason}; give ranges such as 20:00-08:00, separated by commas",
    )


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"
