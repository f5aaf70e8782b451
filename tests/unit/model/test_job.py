import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpip.model.job import ALLOWED_MOVES, MAX_RETRY_DELAY, JobState, retry_delay

failures = st.integers(min_value=1, max_value=100)
jitters = st.floats(min_value=0, max_value=1, exclude_max=True)


@given(failures, jitters)
def test_a_retry_waits_a_little_and_never_long(count: int, jitter: float) -> None:
    """The delay has a floor and the ceiling that the datastore relies on."""
    assert 0.5 <= retry_delay(count, jitter) <= MAX_RETRY_DELAY


@given(failures, jitters)
def test_a_retry_waits_longer_after_more_failures(count: int, jitter: float) -> None:
    """With the same jitter the delay doubles until it is at its ceiling."""
    now, next_time = retry_delay(count, jitter), retry_delay(count + 1, jitter)
    assert next_time >= now
    if 2.0**count <= MAX_RETRY_DELAY:
        assert next_time == pytest.approx(2 * now)


@given(failures, jitters, jitters)
def test_jitter_spreads_retries_over_the_upper_half(
    count: int, jitter: float, other: float
) -> None:
    """More jitter is a longer delay, and none is half of the most."""
    low, high = sorted([jitter, other])
    assert retry_delay(count, low) <= retry_delay(count, high)
    assert retry_delay(count, high) <= 2 * retry_delay(count, 0)


@pytest.mark.parametrize(
    ("state", "next_states"),
    [
        (JobState.PENDING, {JobState.LEASED, JobState.FAILED}),
        (JobState.LEASED, {JobState.DONE, JobState.FAILED, JobState.PENDING}),
        (JobState.DONE, set()),
    ],
)
def test_a_job_moves_as_its_life_has_it(state: JobState, next_states: set[JobState]) -> None:
    """A job is done only from a lease, and what is done stays done."""
    assert ALLOWED_MOVES[state] == next_states


def test_every_state_has_its_moves() -> None:
    """No state is without an entry, and no job moves to where it is."""
    assert set(ALLOWED_MOVES) == set(JobState)
    assert not [state for state, moves in ALLOWED_MOVES.items() if state in moves]
