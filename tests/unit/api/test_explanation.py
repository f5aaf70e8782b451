"""Every state that a job can be in has its sentences."""

from typing import Any

import pytest

from dpip.api.explanation import Said, explain
from dpip.errors import BusUnavailable, MalformedMessage, NoAnswerInTime, NoResponder
from dpip.model.job import MAX_RETRY_DELAY, Failure, FailureCode, JobState, Lease
from dpip.model.placement import JobView, Why
from dpip.wire.messages import Obstacle, Refusal, Waiting

NOW = 1_800_000_000.0
BROKEN = Failure(code=FailureCode.DECODE_FAILED, reason="The picture ends too early.")
CHOICE = "The policy least_loaded chose this worker among 2 that had room, of 3 that there "
PREDICTION = "It was predicted to take 41 ms of CPU time and 120 MiB there."
CHOSEN = [f"{CHOICE}were; grace came second.", PREDICTION]
WAITING = Waiting(
    reason="No worker can take it now.",
    remedy="Have a worker with the tag fast join.",
    before=3,
    competing=1,
    known=2,
    obstacles=(Obstacle(worker="ada", reason="has no tag fast"),),
)


def why(**changes: Any) -> Why:
    facts: dict[str, Any] = {
        "policy": "least_loaded",
        "known": 3,
        "with_room": 2,
        "cpu_milliseconds": 41.2,
        "memory": 120 << 20,
        "placed_at": NOW - 12,
        "runner_up": "grace",
    }
    return Why(**{**facts, **changes})


def job(state: JobState, **changes: Any) -> JobView:
    facts: dict[str, Any] = {
        "id": "j",
        "workload_id": "w",
        "image_id": "i",
        "attempt": 0,
        "failures": 0,
        "retry_at": 0.0,
    }
    return JobView(state=state, **{**facts, **changes})


def pending(**changes: Any) -> JobView:
    return job(JobState.PENDING, **changes)


def leased(**changes: Any) -> JobView:
    return job(JobState.LEASED, **{"attempt": 1, "worker": "ada", "why": why(), **changes})


def test_one_that_waits_says_what_the_scheduler_says() -> None:
    """Its reason, its remedy, its obstacles, and how many go first."""
    answer = explain(pending(), WAITING, NOW)
    assert answer.summary == WAITING.reason
    assert answer.details == [
        "Its workload has 3 jobs before it.",
        "It competes with 1 job of other workloads.",
    ]
    assert answer.remedy == WAITING.remedy
    assert [(each.worker, each.reason) for each in answer.obstacles] == [("ada", "has no tag fast")]
    assert (answer.position, answer.competing, answer.known) == (4, 1, 2)
    assert (answer.worker, answer.placed_at, answer.retry_at) == (None, None, None)


def test_the_next_of_its_workload_is_told_so() -> None:
    """And a job without competitors has no sentence about them."""
    said = Waiting(reason="All are busy.", remedy="Wait.", before=0, competing=0, known=1)
    answer = explain(pending(), said, NOW)
    assert answer.details == ["It is the next of its workload."]
    assert answer.position == 1


def test_one_that_has_failed_before_and_waits_tells_of_it() -> None:
    """After what the scheduler says."""
    answer = explain(pending(attempt=4, failures=2, failure=BROKEN), WAITING, NOW)
    assert answer.details[-1] == (
        "Attempts that have failed: 2 of 3, the last with decode_failed: "
        "The picture ends too early."
    )


@pytest.mark.parametrize(
    ("said", "summary", "remedy"),
    [
        (NoResponder(subject="why"), "no scheduler answers", "dpip scheduler"),
        (NoAnswerInTime(subject="why", seconds=2), "does not answer in time", "Ask again"),
        (BusUnavailable(address="a", reason="b"), "message-passing server", "controller"),
        (MalformedMessage(subject="why", reason="b"), "cannot be read", "same version"),
        (Refusal(reason="It knows no job j."), "It knows no job j.", "Ask again"),
    ],
    ids=["nobody", "late", "no server", "unreadable", "refused"],
)
def test_a_scheduler_that_says_nothing_is_told_of(said: Said, summary: str, remedy: str) -> None:
    """And what to do about it; the failures of the job are still told."""
    answer = explain(pending(failures=1, failure=BROKEN), said, NOW)
    assert answer.summary.startswith("It waits")
    assert summary in answer.summary
    assert remedy in str(answer.remedy)
    assert "decode_failed" in answer.details[0]
    assert answer.position is answer.known is None


def test_one_that_has_just_failed_says_when_it_goes_on() -> None:
    """Until then there is nothing to do."""
    delayed = pending(attempt=1, failures=1, failure=BROKEN, retry_at=NOW + 12.5)
    answer = explain(delayed, None, NOW)
    assert answer.summary == "It goes on in 12 seconds: an attempt has failed."
    assert answer.details == [
        "Attempts that have failed: 1 of 3, the last with decode_failed: "
        "The picture ends too early."
    ]
    assert answer.retry_at
    assert answer.retry_at.timestamp() == NOW + 12.5
    assert (answer.code, answer.reason) == ("decode_failed", "The picture ends too early.")
    assert "by itself" in str(answer.remedy)


@pytest.mark.parametrize("retry_at", [0.0, NOW, NOW + MAX_RETRY_DELAY + 1])
def test_a_delay_that_is_over_is_none(retry_at: float) -> None:
    """Nor is one longer than any can be: the clock has stepped back since."""
    assert explain(pending(retry_at=retry_at), WAITING, NOW).summary == WAITING.reason
    assert explain(pending(retry_at=retry_at), WAITING, NOW).retry_at is None


def test_one_on_a_worker_says_why_it_is_there() -> None:
    """For how long, by which policy, among how many, before whom, and what was predicted."""
    answer = explain(leased(), None, NOW)
    assert answer.summary == "Attempt 1 is on worker ada, for 12 seconds."
    assert answer.details == CHOSEN
    assert (answer.worker, answer.also_on, answer.policy) == ("ada", None, "least_loaded")
    assert (answer.known, answer.with_room, answer.runner_up) == (3, 2, "grace")
    assert (answer.predicted_milliseconds, answer.predicted_memory) == (41.2, 120 << 20)
    assert answer.placed_at
    assert answer.placed_at.timestamp() == NOW - 12
    assert (answer.remedy, answer.milliseconds) == (None, None)


def test_the_only_worker_that_could_take_it_was_not_chosen_by_a_policy() -> None:
    """There was no choice."""
    answer = explain(leased(why=why(with_room=1, runner_up=None)), None, NOW)
    assert answer.details[0] == "This was the only worker that had room, of 3 that there were."


def test_one_whose_reasons_are_not_kept_says_where_it_is() -> None:
    """And nothing that it does not know."""
    answer = explain(leased(why=None), None, NOW)
    assert answer.summary == "Attempt 1 is on worker ada."
    assert answer.details == []
    assert (answer.policy, answer.known, answer.placed_at) == (None, None, None)


def test_an_attempt_after_failed_ones_tells_of_them() -> None:
    """How many there may be, and how the last one ended."""
    answer = explain(leased(attempt=3, failures=2, failure=BROKEN), None, NOW)
    assert answer.summary.startswith("Attempt 3 is")
    assert answer.details[-1].startswith("Attempts that have failed: 2 of 3")


def test_a_backup_tells_of_the_attempt_beside_it() -> None:
    """Both workers are named."""
    rival = Lease(job_id="j", attempt=1, worker="ada")
    answer = explain(
        leased(attempt=2, worker="grace", rival=rival, why=why(backup=True)), None, NOW
    )
    assert answer.summary.startswith("Attempt 2 is on worker grace")
    assert "attempt 1 takes so long" in answer.details[-1]
    assert "on worker ada: the first result counts" in answer.details[-1]
    assert (answer.worker, answer.also_on) == ("grace", "ada")


def test_a_backup_that_is_left_alone_says_so() -> None:
    """The attempt beside which it was begun has ended."""
    answer = explain(leased(attempt=2, worker="grace", why=why(backup=True)), None, NOW)
    assert answer.details[-1] == (
        "It was begun beside an attempt that took too long, which has ended."
    )


def test_an_attempt_whose_backup_has_ended_is_the_one_that_is_told_of() -> None:
    """Under its own number."""
    rival = Lease(job_id="j", attempt=1, worker="ada")
    answer = explain(leased(attempt=2, worker=None, rival=rival), None, NOW)
    assert answer.summary == "Attempt 1 is on worker ada, for 12 seconds."
    assert answer.details[-1] == (
        "It took so long that another was begun beside it, which has ended."
    )
    assert (answer.worker, answer.also_on, answer.attempt) == ("ada", None, 1)


def test_one_that_is_done_says_where_why_and_how_fast() -> None:
    """What was predicted stands beside what it took."""
    done = job(
        JobState.DONE,
        attempt=1,
        worker="ada",
        why=why(),
        milliseconds=35.4,
        filtered_image_id="f",
    )
    answer = explain(done, None, NOW)
    assert answer.summary == "Worker ada filtered it in 35 ms."
    assert answer.details == CHOSEN
    assert (answer.milliseconds, answer.filtered_image_id) == (35.4, "f")
    assert answer.remedy is None


def test_one_that_took_several_attempts_says_so() -> None:
    """And whether it was a second one beside the first."""
    done = job(JobState.DONE, attempt=3, failures=1, worker="ada", why=why(backup=True))
    answer = explain(done, None, NOW)
    assert answer.summary == "Worker ada filtered it."
    assert answer.details[-2:] == [
        "It was begun beside an attempt that took too long.",
        "There were 3 attempts, of which 1 failed.",
    ]


def test_one_that_has_failed_says_what_to_do() -> None:
    """After its reason, its attempts, and where the last one was."""
    failed = job(JobState.FAILED, attempt=4, failures=3, failure=BROKEN, worker="ada", why=why())
    answer = explain(failed, None, NOW)
    assert answer.summary == "It has failed with decode_failed: The picture ends too early."
    assert answer.details == [
        "Attempts that have failed: 3 of 3.",
        "The last one was on worker ada.",
        *CHOSEN,
    ]
    assert answer.remedy == (
        "Send a sound copy of the picture; POST /workloads/w/retry tries it again."
    )


@pytest.mark.parametrize("code", FailureCode)
def test_every_failure_has_a_remedy(code: FailureCode) -> None:
    """Of its own, before the retry, also where there was no attempt at all."""
    failed = job(JobState.FAILED, failure=Failure(code=code, reason="It is so."))
    answer = explain(failed, None, NOW)
    assert answer.summary == f"It has failed with {code}: It is so."
    assert answer.details == ["Attempts that have failed: 0 of 3."]
    assert not str(answer.remedy).startswith("POST")


def test_a_failure_whose_reason_is_not_kept_can_be_tried_again() -> None:
    """It has no remedy besides."""
    answer = explain(job(JobState.FAILED), None, NOW)
    assert answer.summary == "It has failed."
    assert answer.remedy == "POST /workloads/w/retry tries it again."


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-5, "less than a second"),
        (0.9, "less than a second"),
        (1, "1 second"),
        (119, "119 seconds"),
        (120, "2 minutes"),
        (7200, "2 hours"),
        (2 * 86_400, "2 days"),
    ],
)
def test_times_are_told_as_people_say_them(seconds: float, words: str) -> None:
    """In the largest unit of which there are two."""
    answer = explain(leased(why=why(placed_at=NOW - seconds)), None, NOW)
    assert answer.summary == f"Attempt 1 is on worker ada, for {words}."
