import re
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from dpip.model import ids
from dpip.model.ids import new_id


def test_ids_sort_in_the_order_in_which_they_were_made() -> None:
    """Within a millisecond, too."""
    made = [new_id() for _ in range(2000)]
    assert made == sorted(made)


def test_ids_are_unique_over_threads() -> None:
    """No two callers get the same id, however close together they ask."""
    with ThreadPoolExecutor(4) as threads:
        made = list(threads.map(lambda _: new_id(), range(2000)))
    assert len(set(made)) == len(made)


def test_an_id_is_safe_in_a_path_and_in_a_subject() -> None:
    """It is 26 lower-case letters and digits, so file systems that ignore case keep ids apart."""
    assert all(re.fullmatch("[0-9a-hjkmnp-tv-z]{26}", new_id()) for _ in range(100))


def test_ids_grow_when_the_wall_clock_steps_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """An id made after a step back still sorts after those made before."""
    before = new_id()
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    after = [new_id() for _ in range(3)]
    assert [before, *after] == sorted({before, *after})


def test_ids_of_different_milliseconds_sort_by_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time is in front, so ids of other processes sort in among these."""
    monkeypatch.setattr(ids, "_last", 0)
    monkeypatch.setattr(time, "time_ns", lambda: 1_000_000_000)
    early = new_id()
    monkeypatch.setattr(ids, "_last", 0)
    monkeypatch.setattr(time, "time_ns", lambda: 1_001_000_000)
    assert early < new_id()
