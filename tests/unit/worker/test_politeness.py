"""When a worker pauses, by scenarios."""

from datetime import time

import pytest

from dpip.model.working_hours import WorkingHours
from dpip.worker.politeness import Politeness, PoliteSettings

NOON, NIGHT = time(12, 0), time(23, 30)


def reasons(settings: PoliteSettings, *loads: float) -> list[str | None]:
    """One for each load that is read, one after the other."""
    politeness = Politeness(settings)
    return [politeness.reason_to_pause(load=load, gpu_user="GPU 0", at=NOON) for load in loads]


def test_a_worker_without_wishes_never_pauses() -> None:
    """Whatever others do."""
    assert reasons(PoliteSettings(), 0.0, 1.0) == [None, None]


def test_a_busy_machine_is_left_alone() -> None:
    """The reason tells the load and the limit, which itself is not too much."""
    assert reasons(PoliteSettings(load_above=0.7), 0.7, 0.83) == [
        None,
        "is paused: the load of other programs is 0.83, above 0.7",
    ]


def test_a_load_about_the_limit_does_not_make_it_flap() -> None:
    """It has to fall below four fifths of the limit; until it has been above, it may be there."""
    found = reasons(PoliteSettings(load_above=0.5), 0.45, 0.55, 0.49, 0.41, 0.51, 0.4, 0.39, 0.45)
    assert [reason is not None for reason in found] == [
        *(False, True, True, True, True, True, False, False)
    ]
    assert found[2] == "is paused: the load of other programs is 0.49, and has to fall below 0.4"


def test_a_worker_of_the_night_pauses_by_day() -> None:
    """Until the clock on the wall says so."""
    politeness = Politeness(PoliteSettings(hours=WorkingHours.parse("20:00-08:00")))
    by_day = politeness.reason_to_pause(load=0.0, gpu_user=None, at=NOON)
    assert by_day == "works from 20:00 to 08:00 only"
    assert politeness.reason_to_pause(load=0.0, gpu_user=None, at=NIGHT) is None


@pytest.mark.parametrize(
    ("yields", "gpu_user", "reason"),
    [
        (True, "GPU 1 (H100)", "is paused: another program uses GPU 1 (H100)"),
        (True, None, None),
        (False, "GPU 1 (H100)", None),
    ],
)
def test_a_gpu_is_left_to_who_uses_it(
    yields: bool, gpu_user: str | None, reason: str | None
) -> None:
    """If the worker is to."""
    politeness = Politeness(PoliteSettings(yield_gpu=yields))
    assert politeness.reason_to_pause(load=1.0, gpu_user=gpu_user, at=NOON) == reason


def test_every_wish_has_to_be_met() -> None:
    """And the reason fits into a heartbeat."""
    night = WorkingHours.parse(",".join(["22:00-02:00"] * 6))
    politeness = Politeness(PoliteSettings(hours=night, load_above=0.5, yield_gpu=True))
    for load, gpu_user, at, pauses in [
        (0.1, None, NIGHT, False),
        (0.1, None, NOON, True),
        (0.1, "GPU 0", NIGHT, True),
        (0.9, None, NIGHT, True),
    ]:
        reason = politeness.reason_to_pause(load=load, gpu_user=gpu_user, at=at)
        assert (reason is not None) == pauses
        assert reason is None or len(reason) <= 200
