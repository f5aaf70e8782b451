"""Every message on the bus, as data. Nothing in a message is ever executed."""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct

from dpip.model.cost import Cost
from dpip.model.image import PictureFormat
from dpip.model.job import Failure
from dpip.model.worker import MOST_IN_HAND, Command, Prefetch, Resources, Slots, Tags
from dpip.plain_text import PLAIN

PROTOCOL = 2
"""Version of these messages; a worker of another version is refused by name of both."""

JobId = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9_-]{1,64}\Z")]
"""An id in the alphabet of all ids, so that no database stumbles over it."""
AttemptNumber = Annotated[int, Meta(ge=1, le=2**31 - 1)]


class Message(Struct, frozen=True, kw_only=True, tag=True):
    """Base of all messages; each carries its name, so that one is never read as another."""


class Greeting(Message, frozen=True, kw_only=True, tag="Hello"):
    """The part of a hello that every version of the protocol can read."""

    protocol: int


class Hello(Greeting, frozen=True, kw_only=True, tag="Hello"):
    """A worker asks to be taken in. Who it is, is said by the subject, which the server guards."""

    tags: Tags
    slots: Slots
    prefetch: Prefetch
    resources: Resources


class Welcome(Message, frozen=True, kw_only=True):
    """The controller takes a worker in, and says where and with which token the images are.

    A host of ``image_store_endpoint`` that stands for all addresses (``0.0.0.0`` or ``[::]``) is
    to be read as the host by which the worker reached the controller. ``heartbeat_seconds`` is how
    often to send a heartbeat. ``command`` is what stands of what it was told before.
    """

    image_store_endpoint: str
    image_store_token: str
    heartbeat_seconds: float
    command: Command | None = None


class Refusal(Message, frozen=True, kw_only=True):
    """A no, with its reason as a sentence. ``final``: asking again cannot help."""

    reason: str
    final: bool = False


class Running(Message, frozen=True, kw_only=True):
    """One attempt that a worker has in hand."""

    job_id: JobId
    attempt: AttemptNumber


class Heartbeat(Message, frozen=True, kw_only=True):
    """A worker is alive, and this is what it has to give.

    ``running`` are all attempts in hand; their leases are extended. A ``draining`` worker takes no
    more, and one that is ``paused`` none for now, for the reason that it gives: words that follow
    its name. ``command`` is the one of the controller that it obeys.
    """

    tags: Tags
    slots: Slots
    prefetch: Prefetch
    draining: bool
    paused: Annotated[str, Meta(max_length=200, pattern=PLAIN)] | None = None
    command: Command | None = None
    resources: Resources
    running: Annotated[tuple[Running, ...], Meta(max_length=MOST_IN_HAND)]


class Told(Message, frozen=True, kw_only=True):
    """What an administrator wants of a worker from now on: ``None`` that it works.

    The controller says it again for each heartbeat that shows another ``command``. To drain is
    final.
    """

    command: Command | None


class Goodbye(Message, frozen=True, kw_only=True):
    """The worker that the subject names leaves, and has nothing in hand any more."""


class Run(Message, frozen=True, kw_only=True):
    """One image to filter.

    ``format`` is that of the original and of the result, ``pipeline`` the list of filter steps as
    JSON. ``workload_name`` and the original's ``sha256`` are for a worker that reads it from the
    image store itself. ``memory_limit`` is in bytes, ``time_limit`` in seconds of wall time on the
    pixels. ``express``: it takes the next slot that is free, before all that wait.
    """

    job_id: JobId
    attempt: AttemptNumber
    workload_id: str
    workload_name: str
    image_id: str
    format: PictureFormat
    sha256: str
    pipeline: bytes
    memory_limit: int
    time_limit: float
    express: bool = False


MOST_RUNS = 64
"""Of one call: even with the longest pipelines, they fit in a message."""


class RunBatch(Message, frozen=True, kw_only=True):
    """The call of the scheduler: filter these images, in this order."""

    runs: Annotated[tuple[Run, ...], Meta(min_length=1, max_length=MOST_RUNS)]


class Accepted(Message, frozen=True, kw_only=True):
    """The worker has these attempts in hand; of the others in the call it wants to know nothing."""

    attempts: Annotated[tuple[Running, ...], Meta(max_length=MOST_RUNS)]


class OutcomeKind(StrEnum):
    """What became of an attempt."""

    DONE = "done"
    FAILED = "failed"
    RETURNED = "returned"


class Outcome(Message, frozen=True, kw_only=True):
    """The end of an attempt on the worker that the subject names.

    ``done``: the result was uploaded and committed; ``cost`` is what it took. ``failed``: with
    ``failure``. ``returned``: the worker gave the job back, or its attempt had
    become stale; ``untouched`` if it did so in good order, to make room or to leave.
    """

    job_id: JobId
    attempt: AttemptNumber
    kind: OutcomeKind
    failure: Failure | None = None
    cost: Cost | None = None
    untouched: bool = False


class Acknowledged(Message, frozen=True, kw_only=True):
    """The outcome has been recorded."""


class MoreJobs(Message, frozen=True, kw_only=True):
    """The workload that the subject names has ``count`` more pending jobs."""

    count: Annotated[int, Meta(ge=1, le=2**31 - 1)]


MOST_OBSTACLES = 50


class WhyPending(Message, frozen=True, kw_only=True):
    """The API asks the scheduler why a job waits; ``failed_by`` are the workers that failed it."""

    job_id: JobId
    workload_id: str
    failed_by: tuple[str, ...] = ()


class Obstacle(Struct, frozen=True, kw_only=True):
    """A worker that cannot take a job now, and why: words that follow its name."""

    worker: str
    reason: str


class Waiting(Message, frozen=True, kw_only=True):
    """Why a job waits: a sentence, and what would have to change.

    ``before`` is the number of jobs of the same workload that go first, ``competing`` that of other
    workloads that share the workers with it. ``again_on`` are the workers that have failed it and
    may have it again, because no other one could take it. Of many obstacles, the first few are
    listed.
    """

    reason: str
    remedy: str
    before: int
    competing: int
    known: int
    again_on: tuple[str, ...] = ()
    obstacles: Annotated[tuple[Obstacle, ...], Meta(max_length=MOST_OBSTACLES)] = ()
