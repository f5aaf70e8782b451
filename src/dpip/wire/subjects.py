"""Who says what where. A worker's subjects carry its name, so the server can guard them."""

HELLO = "dpip.v1.hello"
"""Request of a worker to the controller: ``Hello``, answered ``Welcome`` or ``Refusal``."""

HEARTBEATS = "dpip.v1.heartbeat.*"
GOODBYES = "dpip.v1.goodbye.*"
OUTCOMES = "dpip.v1.outcome.*"

JOBS_READY = "dpip.v1.ready"
"""Hint to the scheduler, empty: there are jobs to place. The truth is in the datastore."""

WORKERS_HEAR = ("dpip.v1.run.*.*", "dpip.v1.ping.*.*", "dpip.v1.rejoin.*.*")
"""All that workers subscribe to, besides the answers to their requests."""

ALL_SETTLED = "dpip.v1.settled.*"


def worker_in(subject: str) -> str:
    """The name of the worker that speaks on ``subject``: one made by the functions below."""
    return subject.split(".")[3]


def heartbeat(worker: str) -> str:
    """Where ``worker`` publishes its ``Heartbeat``."""
    return f"dpip.v1.heartbeat.{worker}"


def goodbye(worker: str) -> str:
    """Where ``worker`` publishes its ``Goodbye``."""
    return f"dpip.v1.goodbye.{worker}"


def outcome(worker: str) -> str:
    """Where ``worker`` requests that its ``Outcome`` be recorded, answered ``Acknowledged``."""
    return f"dpip.v1.outcome.{worker}"


def run(worker: str, instance: str) -> str:
    """Where one process of ``worker`` answers ``Run`` with ``Accepted`` or ``Refusal``."""
    return f"dpip.v1.run.{worker}.{instance}"


def ping(worker: str, instance: str) -> str:
    """Where one process of ``worker`` answers an empty request while it is connected."""
    return f"dpip.v1.ping.{worker}.{instance}"


def rejoin(worker: str, instance: str) -> str:
    """Hint to one process of ``worker``, empty: the controller does not know it; say hello."""
    return f"dpip.v1.rejoin.{worker}.{instance}"


def settled(workload_id: str) -> str:
    """Hint, empty: a job of the workload has settled."""
    return f"dpip.v1.settled.{workload_id}"
