"""Why a job is where it is, or why it still waits, in sentences."""

from collections.abc import Sequence

from msgspec import Struct

from dpip.api.explanation_schemas import ExplanationAnswer, ObstacleAnswer
from dpip.api.schemas import utc
from dpip.errors import BusUnavailable, DpipError, MalformedMessage, NoAnswerInTime, NoResponder
from dpip.model.job import MAX_FAILURES, MAX_RETRY_DELAY, FailureCode, JobState
from dpip.model.note import sentence_of
from dpip.model.placement import JobView
from dpip.wire.messages import Refusal, Waiting

Said = Waiting | Refusal | DpipError
"""What the scheduler says of a job that waits, or why nothing came of asking it."""

_SILENCES: dict[type[DpipError], tuple[str, str]] = {
    NoResponder: (
        "It waits, and no scheduler answers.",
        "If that stays so for ten seconds, an operator has to start one: 'dpip scheduler', or "
        "'dpip up'.",
    ),
    NoAnswerInTime: (
        "It waits, and the scheduler does not answer in time.",
        "Ask again; if that stays so, an operator has to look at the scheduler's log.",
    ),
    BusUnavailable: (
        "It waits, and the message-passing server cannot be reached.",
        "If that stays so for ten seconds, an operator has to look at the log of the controller, "
        "or of the external NATS server.",
    ),
    MalformedMessage: (
        "It waits, and the scheduler's answer cannot be read.",
        "An operator has to run API and scheduler in the same version.",
    ),
}

_REMEDIES: dict[FailureCode, str] = {
    FailureCode.DECODE_FAILED: "Send a sound copy of the picture",
    FailureCode.FILTER_FAILED: "Choose a filter that can be applied to this picture",
    FailureCode.OUT_OF_MEMORY: "Have limits.job_memory_bytes raised, or send a smaller picture",
    FailureCode.TIMED_OUT: "Have limits.job_seconds and lease.longest_seconds raised, or send a "
    "smaller picture",
    FailureCode.CRASHED: "Send the picture in another format, or have the workers' logs looked at",
    FailureCode.ORIGINAL_UNAVAILABLE: "Have the picture's file restored, or send it again",
    FailureCode.RESULT_REFUSED: "Have the machines of its workers looked at",
    FailureCode.WORKER_LOST: "Have the logs of its workers looked at",
    FailureCode.DOES_NOT_FIT: "Have a worker with more memory join, or send a smaller picture",
}


class _Story(Struct, frozen=True, kw_only=True):
    summary: str
    details: list[str]
    remedy: str | None = None


def explain(job: JobView, said: Said | None, now: float) -> ExplanationAnswer:
    """Say why ``job`` is where it is at ``now``; ``said`` is about one that is pending."""
    story = _story(job, said, now)
    attempt, worker = _attempt_and_worker(job)
    why, failure = job.why, job.failure
    waiting = said if isinstance(said, Waiting) else None
    obstacles = waiting.obstacles if waiting else ()
    return ExplanationAnswer(
        image_id=job.image_id,
        workload_id=job.workload_id,
        state=job.state,
        summary=story.summary,
        details=story.details,
        remedy=story.remedy,
        worker=worker,
        also_on=job.rival.worker if job.rival and job.worker else None,
        attempt=attempt,
        failures=job.failures,
        code=failure.code if failure else None,
        reason=failure.reason if failure else None,
        retry_at=utc(job.retry_at) if _delay_left(job, now) else None,
        placed_at=utc(why.placed_at) if why else None,
        policy=why.policy if why else None,
        known=waiting.known if waiting else why.known if why else None,
        with_room=why.with_room if why else None,
        runner_up=why.runner_up if why else None,
        predicted_milliseconds=why.cpu_milliseconds if why else None,
        predicted_memory=why.memory if why else None,
        milliseconds=job.milliseconds,
        position=waiting.before + 1 if waiting else None,
        competing=waiting.competing if waiting else None,
        obstacles=[ObstacleAnswer(worker=each.worker, reason=each.reason) for each in obstacles],
        filtered_image_id=job.filtered_image_id,
        notes=list(job.notes),
    )


def _story(job: JobView, said: Said | None, now: float) -> _Story:
    match job.state:
        case JobState.PENDING:
            is_due = _delay_left(job, now) == 0
            return _waiting(job, said) if said and is_due else _delayed(job, said, now)
        case JobState.LEASED:
            return _leased(job, now)
        case JobState.DONE:
            return _done(job)
        case JobState.FAILED:
            return _failed(job)


def _delayed(job: JobView, said: Said | None, now: float) -> _Story:
    return _Story(
        summary=f"It goes on in {_lasting(_delay_left(job, now))}: an attempt has failed.",
        details=[*_failures(job), *_where_next(job, said)],
        remedy="Nothing: it goes on by itself.",
    )


def _waiting(job: JobView, said: Said) -> _Story:
    turn: list[str] = []
    match said:
        case Waiting():
            summary, remedy = said.reason, said.remedy
            turn = ["It is the next of its workload."]
            if said.before:
                turn = [f"Its workload has {_counted(said.before, 'job')} before it."]
            if said.competing:
                turn.append(
                    f"It competes with {_counted(said.competing, 'job')} of other workloads."
                )
        case Refusal():
            summary = f"It waits, and the scheduler does not say why: {said.reason}"
            remedy = "Ask again."
        case _:
            summary, remedy = _SILENCES[type(said)]
    details = [*turn, *_failures(job), *_where_next(job, said)]
    return _Story(summary=summary, details=details, remedy=remedy)


def _leased(job: JobView, now: float) -> _Story:
    attempt, worker = _attempt_and_worker(job)
    since = f", for {_lasting(now - job.why.placed_at)}" if job.why else ""
    return _Story(
        summary=f"Attempt {attempt} is on worker {worker}{since}.",
        details=[*_placement(job), *_beside(job), *_failures(job), *_once_more(job, worker)],
    )


def _done(job: JobView) -> _Story:
    took = "" if job.milliseconds is None else f" in {job.milliseconds:.0f} ms"
    details = [*map(sentence_of, job.notes), *_placement(job)]
    if job.why and job.why.backup:
        details.append("It was begun beside an attempt that took too long.")
    if job.attempt > 1:
        details.append(f"There were {job.attempt} attempts, of which {job.failures} failed.")
    if others := [name for name in job.failed_by if name != job.worker]:
        details.append(f"Before, {_listed(others)} failed it.")
    return _Story(summary=f"Worker {job.worker} filtered it{took}.", details=details)


def _failed(job: JobView) -> _Story:
    again = f"POST /workloads/{job.workload_id}/retry tries it again."
    details = [f"Attempts that have failed: {job.failures} of {MAX_FAILURES}."]
    if job.worker:
        details.append(f"The last one was on worker {job.worker}.")
    if job.failures == MAX_FAILURES and len(job.failed_by) == 1:
        details.append("All were there: no other worker was there that could take it.")
    elif job.failed_by:
        details.append(f"It was failed by {_listed(job.failed_by)}.")
    if job.failure is None:
        return _Story(summary="It has failed.", details=details, remedy=again)
    return _Story(
        summary=f"It has failed with {job.failure.code}: {job.failure.reason}",
        details=[*details, *_placement(job)],
        remedy=f"{_REMEDIES[job.failure.code]}; {again}",
    )


def _placement(job: JobView) -> list[str]:
    why = job.why
    if why is None:
        return []
    choice = f"The policy {why.policy} chose this worker among {why.with_room} that had room"
    if why.with_room == 1:
        choice = "This was the only worker that had room"
    second = f"; {why.runner_up} came second" if why.runner_up else ""
    memory = f"{why.memory / 2**20:.0f} MiB"
    return [
        f"{choice}, of {why.known} that there were{second}.",
        f"It was predicted to take {why.cpu_milliseconds:.0f} ms of CPU time and {memory} there.",
    ]


def _beside(job: JobView) -> list[str]:
    if job.rival is None:
        if job.why and job.why.backup:
            return ["It was begun beside an attempt that took too long, which has ended."]
        return []
    if job.worker is None:
        return ["It took so long that another was begun beside it, which has ended."]
    return [
        f"It was begun because attempt {job.rival.attempt} takes so long, which goes on beside it "
        f"on worker {job.rival.worker}: the first result counts."
    ]


def _failures(job: JobView) -> list[str]:
    if not job.failures:
        return []
    last = f", the last with {job.failure.code}: {job.failure.reason}" if job.failure else "."
    return [f"Attempts that have failed: {job.failures} of {MAX_FAILURES}{last}"]


def _where_next(job: JobView, said: Said | None) -> list[str]:
    """Who may have the next attempt of a job that has failed."""
    if not job.failed_by or not isinstance(said, Waiting):
        return []
    if not said.again_on:
        return [f"It goes to a worker that has not failed it, as {_listed(job.failed_by)} did."]
    goes_there = "its next attempt goes there again, unless another one joins before."
    if said.known == 1:
        return [f"Only one worker is there; {said.again_on[0]} has failed it, and {goes_there}"]
    return [f"No worker could take it but {_listed(said.again_on)}, which failed it; {goes_there}"]


def _once_more(job: JobView, worker: str | None) -> list[str]:
    if worker not in job.failed_by:
        return []
    return ["It was failed there before: no other worker was there that could take it."]


def _listed(names: Sequence[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def _attempt_and_worker(job: JobView) -> tuple[int, str | None]:
    """Of the newest lease, unless the earlier one is left alone."""
    if job.worker is None and job.rival:
        return job.rival.attempt, job.rival.worker
    return job.attempt, job.worker


def _delay_left(job: JobView, now: float) -> float:
    """Seconds; none is longer than it can have been made, unless the clock has stepped back."""
    left = job.retry_at - now if job.state is JobState.PENDING else 0.0
    return left if 0 < left <= MAX_RETRY_DELAY else 0.0


def _lasting(seconds: float) -> str:
    if seconds < 1:
        return "less than a second"
    for unit, length in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= 2 * length:
            return _counted(int(seconds // length), unit)
    return _counted(int(seconds), "second")


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
