import re
from datetime import datetime, time
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpip.errors import InvalidValue
from dpip.model.working_hours import HourRange, WorkingHours

MINUTES = range(24 * 60)
ranges = (
    st.tuples(st.integers(0, 24 * 60 - 1), st.integers(0, 24 * 60))
    .filter(lambda pair: pair[0] != pair[1] % (24 * 60) or pair == (0, 24 * 60))
    .map(lambda pair: HourRange(*pair))
)


def at(minute: int) -> time:
    return time(minute // 60, minute % 60)


@given(ranges=st.lists(ranges, min_size=1, max_size=6))
def test_hours_are_read_as_they_are_shown(ranges: list[HourRange]) -> None:
    """Whatever they are."""
    hours = WorkingHours(ranges)
    assert WorkingHours.parse(str(hours)) == hours
    assert WorkingHours.parse(str(hours).replace(",", " , ")) == hours


@given(hour_range=ranges)
def test_a_range_goes_on_from_its_begin_to_its_end(hour_range: HourRange) -> None:
    """Minute by minute round the clock, over midnight too; its end is the first without."""
    hours = WorkingHours([hour_range])
    length = (hour_range.end - hour_range.begin) % len(MINUTES) or len(MINUTES)
    within = {(hour_range.begin + minute) % len(MINUTES) for minute in range(length)}
    assert {minute for minute in MINUTES if hours.include(at(minute))} == within


@given(ranges=st.lists(ranges, min_size=2, max_size=6))
def test_several_ranges_are_each_of_them(ranges: list[HourRange]) -> None:
    """Whether they overlap or not."""
    hours = WorkingHours(ranges)
    for minute in range(0, len(MINUTES), 7):
        each = [WorkingHours([one]).include(at(minute)) for one in ranges]
        assert hours.include(at(minute)) == any(each)


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("9:00-17:30", ["09:00", "17:29"], ["08:59", "17:30", "00:00"]),
        ("20:00-08:00", ["20:00", "23:59", "00:00", "07:59"], ["08:00", "19:59"]),
        ("22:00-24:00", ["22:00", "23:59"], ["00:00", "21:59"]),
        ("22:00-00:00", ["22:00", "23:59"], ["00:00", "21:59"]),
        ("00:00-24:00", ["00:00", "12:00", "23:59"], []),
        ("20:00-08:00,12:00-13:00", ["12:00", "21:00"], ["13:00", "11:59"]),
    ],
)
def test_hours_people_name(text: str, inside: list[str], outside: list[str]) -> None:
    """They mean what they say."""
    hours = WorkingHours.parse(text)
    assert all(hours.include(time.fromisoformat(each)) for each in inside)
    assert not any(hours.include(time.fromisoformat(each)) for each in outside)


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "20-8", "20:00", "20:00-", "20:00-08:00,", "8pm-8am"),
        *("24:00-08:00", "20:60-08:00", "20:00-24:01", "25:00-26:00", "20:00-08:0", "-1:00-08:00"),
        *("08:00-08:00", "00:00-00:00", "20:00-08:00-09:00", "٢٠:00-08:00"),
        ",".join(["20:00-08:00"] * 7),
    ],
)
def test_what_is_no_hours_is_refused(text: str) -> None:
    """The error names the value and a form that would do."""
    with pytest.raises(InvalidValue, match=r"20:00-08:00, separated by commas") as caught:
        WorkingHours.parse(text)
    assert caught.value.facts["value"] == text


def test_hours_in_words() -> None:
    """As they stand behind a worker's name."""
    hours = WorkingHours.parse("20:00-8:00, 12:00-13:00")
    assert hours.as_words() == "from 20:00 to 08:00 and from 12:00 to 13:00"
    assert re.fullmatch(r"(from \d\d:\d\d to \d\d:\d\d( and )?)+", hours.as_words())


@pytest.mark.parametrize(
    ("day", "hours_at_work"),
    [
        ((2026, 3, 28), 11),  # The clock goes forward: an hour of the night is left out.
        ((2026, 6, 1), 12),
        ((2026, 10, 24), 13),  # It goes back: an hour comes twice.
    ],
)
def test_where_the_clock_changes_the_wall_is_right(
    day: tuple[int, int, int], hours_at_work: int
) -> None:
    """A night from 20:00 to 08:00 begins and ends when people see these times."""
    hours, zone = WorkingHours.parse("20:00-08:00"), ZoneInfo("Europe/Berlin")
    noon = datetime(*day, 12, tzinfo=zone).timestamp()
    minutes = [datetime.fromtimestamp(noon + minute * 60, zone).time() for minute in range(24 * 60)]
    assert sum(hours.include(minute) for minute in minutes) == hours_at_work * 60
    begin = minutes.index(time(20))
    assert not hours.include(minutes[begin - 1])
    assert hours.include(minutes[begin])
