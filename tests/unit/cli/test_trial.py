from typing import Any

import msgspec
import pytest

from dpip.cli.trial import Fate, Trial, Verdict

FINE = Verdict(
    trials=(
        Trial(name="a", fate=Fate.FILTERED),
        Trial(name="b", fate=Fate.REFUSED, status=415, code="unsupported_picture"),
        Trial(name="c", fate=Fate.FAILED, code="crashed"),
    ),
    workers=2,
    workers_lost=(),
    processes=1,
    processes_lost=(),
    goes_on=True,
    seconds=1.0,
)


def test_a_system_holds_that_refuses_and_fails_pictures() -> None:
    """A child that crashed is what children are for."""
    assert FINE.holds


@pytest.mark.parametrize(
    "fault",
    [
        {"trials": (Trial(name="a", fate=Fate.REFUSED, status=500, code="internal_error"),)},
        {"trials": (Trial(name="a", fate=Fate.LOST),)},
        {"workers": 0},
        {"workers_lost": ("w1",)},
        {"processes_lost": (7,)},
        {"goes_on": False},
    ],
)
def test_a_system_does_not_hold_with_a_fault(fault: dict[str, Any]) -> None:
    """Whatever else is fine."""
    assert not msgspec.structs.replace(FINE, **fault).holds
