"""Who says what where.

A worker's subjects end with its name and the instance that tells its process from others of that
name, so that the server can guard them: no process speaks or listens as another.
"""

from typing import NamedTuple

HELLOS = "dpip.v1.hello.*.*.*"
HEARTBEATS = "dpip.v1.heartbeat.*.*"
GOODBYES = "dpip.v1.goodbye.*.*"
OUTCOMES = "dpip.v1.outcome.*.*"

JOBS_READY = "dpip.v1.ready"
"""Hint to the scheduler, empty: there are jobs to place. The truth is in the datastore."""

MORE_JOBS = "dpip.v1.more.*"
"""Hints to the scheduler, with ``MoreJobs``, of workloads that have grown."""

WHY_PENDING = "dpip.v1.why"
"""Where the API requests of the leading scheduler, with ``WhyPending``, why a job waits."""

ALL_SETTLED = "dpip.v1.settled.*"

NOBODY = "dpip.v1.nobody"
"""Nobody listens here; that the server says so shows that it is well."""


class Speaker(NamedTuple):
    """One process of a worker."""

    worker: str
    instance: str


def speaker_in(subject: str) -> Speaker:
    """Who speaks on ``subject``: one that the functions below made for a worker."""
    *_, worker, instance = subject.split(".")
    return Speaker(worker, instance)


def join_token_in(subject: str) -> str:
    """The id of the join token that the sender of a hello has shown."""
    return subject.split(".")[3]


def hello(join_token: str, worker: str, instance: str) -> str:
    """Where a worker requests to be taken in: ``Hello``, answered ``Welcome`` or ``Refusal``."""
    return f"dpip.v1.hello.{join_token}.{worker}.{instance}"


def heartbeat(worker: str, instance: str) -> str:
    """Where a worker publishes its ``Heartbeat``."""
    return f"dpip.v1.heartbeat.{worker}.{instance}"


def goodbye(worker: str, instance: str) -> str:
    """Where a worker publishes its ``Goodbye``."""
    return f"dpip.v1.goodbye.{worker}.{instance}"


def outcome(worker: str, instance: str) -> str:
    """Where a worker requests that its ``Outcome`` be recorded, answered ``Acknowledged``."""
    return f"dpip.v1.outcome.{worker}.{instance}"


def run(worker: str, instance: str) -> str:
    """Where a worker answers ``Run`` with ``Accepted`` or ``Refusal``."""
    return f"dpip.v1.run.{worker}.{instance}"


def ping(worker: str, instance: str) -> str:
    """Where a worker answers an empty request while it is connected."""
    return f"dpip.v1.ping.{worker}.{instance}"


def rejoin(worker: str, instance: str) -> str:
    """Hint to a worker, empty: the controller does not know it; say hello."""
    return f"dpip.v1.rejoin.{worker}.{instance}"


def command(worker: str, instance: str) -> str:
    """Where the controller publishes, for one worker alone, its ``Told``."""
    return f"dpip.v1.command.{worker}.{instance}"


def inbox(worker: str, instance: str) -> str:
    """What the subjects begin with on which a worker awaits the answers to its requests."""
    return f"_INBOX.{worker}.{instance}"


def said_by(join_token: str, worker: str, instance: str) -> list[str]:
    """All that a worker may publish on, besides the answers to what it is asked."""
    return [
        hello(join_token, worker, instance),
        *(each(worker, instance) for each in (heartbeat, goodbye, outcome)),
    ]


def heard_by(worker: str, instance: str) -> list[str]:
    """All that a worker may subscribe to."""
    return [
        *(each(worker, instance) for each in (run, ping, rejoin, command)),
        f"{inbox(worker, instance)}.>",
    ]


def more_jobs(workload_id: str) -> str:
    """Hint to the scheduler: the workload has more pending jobs."""
    return f"dpip.v1.more.{workload_id}"


def settled(workload_id: str) -> str:
    """Hint, empty: a job of the workload has settled."""
    return f"dpip.v1.settled.{workload_id}"
