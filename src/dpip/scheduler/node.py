"""A worker as placement sees it, and the machine that it shares with others."""

import itertools

from msgspec import Struct, field

from dpip.model.job import Lease, PendingJob
from dpip.model.worker import Command, Resources, most_in_hand
from dpip.wire.subjects import Speaker

_AT_LEAST_LEFT = 0.2
"""Of what a job was predicted to take, once it has taken all of that."""


class Promise(Struct, kw_only=True, eq=False):
    """What a lease is predicted to take of its worker.

    ``milliseconds`` by the clock, after ``wait`` of them for what its worker had before, and
    ``memory`` and ``gpu_memory`` in bytes; ``usual_milliseconds`` are those of the fleet's average
    worker. ``since`` is the monotonic time of the placement. ``job`` is unknown of a lease that
    another scheduler has granted, for a moment. ``has_backup``: the job was placed a second time.
    """

    lease: Lease
    milliseconds: float
    memory: int
    since: float
    gpu_memory: int = 0
    usual_milliseconds: float = 0.0
    wait: float = 0.0
    job: PendingJob | None = None
    owner_id: str | None = None
    express: bool = False
    has_backup: bool = False


class Machine(Struct, kw_only=True, eq=False):
    """Memory and cores that its workers share.

    ``promised`` is what the jobs that run at once are predicted to take, ``occupied`` what the
    processes of its workers occupied at the last heartbeats, in bytes. ``gpu_promised`` is what all
    jobs in hand are predicted to take of a GPU. ``short`` are the names of its workers that could
    take a job if it had more memory to promise. ``kept_for`` is the job that it is kept free for.
    """

    name: str
    slots: int = 0
    jobs: int = 0
    promised: int = 0
    occupied: int = 0
    gpu_promised: int = 0
    kept_for: str | None = None
    short: set[str] = field(default_factory=set)


class Node(Struct, kw_only=True, eq=False):
    """A worker as placement sees it.

    ``in_hand`` are the leases placed on it and not known to have ended, with what they are
    predicted to take; ``milliseconds`` is the sum of that. ``memory`` is what the largest of them
    take, one for each slot: what waits occupies none; ``least_memory`` is what the smallest of
    these takes, once all slots are busy. ``ended_at`` is the monotonic time when a job ended last.
    ``slowness`` is how long its jobs take, as a multiple of what is predicted for workers of its
    class, and ``pace`` the same beside the whole fleet. ``heard_at`` is the monotonic time of its
    last heartbeat. ``paused`` says in its own words why it takes no jobs for now, and ``told`` is
    what an administrator wants of it.

    One that did not answer a call, or has given its last job back (``returned``), is left alone
    until ``left_alone_until``; ``left_alone_seconds`` is how long that was, 0 once it has answered
    or, after a return, has done a job. It is ``failing`` from a job that it has failed to the next
    that it does.
    """

    name: str
    instance: str
    tags: frozenset[str]
    slots: int
    prefetch: int
    draining: bool
    resources: Resources
    heard_at: float
    machine: Machine
    paused: str | None = None
    told: Command | None = None
    quarantined: bool = False
    in_hand: dict[Lease, Promise] = field(default_factory=dict)
    milliseconds: float = 0.0
    memory: int = 0
    least_memory: int = 0
    express_in_hand: int = 0
    ended_at: float = 0.0
    slowness: float = 1.0
    pace: float = 1.0
    left_alone_seconds: float = 0.0
    left_alone_until: float = 0.0
    returned: bool = False
    failing: bool = False
    is_filling: bool = False

    @property
    def speaker(self) -> Speaker:
        """The process that it is."""
        return Speaker(self.name, self.instance)

    @property
    def has_idle_slot(self) -> bool:
        """Whether a job would begin at once."""
        return len(self.in_hand) < self.slots

    @property
    def memory_free(self) -> int:
        """Bytes that can still be promised on its machine.

        Of what is available, running jobs will yet take what is promised to them and not occupied.
        """
        to_come = max(0, self.machine.promised - self.machine.occupied)
        return self.resources.memory_available - to_come

    @property
    def most_memory_free(self) -> int:
        """Bytes that can be promised once all jobs that run on its machine have ended."""
        occupied = min(self.machine.promised, self.machine.occupied)
        return self.resources.memory_available + occupied

    def more_memory(self, memory: int) -> int:
        """Bytes that one more job of ``memory`` adds to what is promised."""
        return max(0, memory - self.least_memory)

    def wait(self, now: float) -> float:
        """Milliseconds until a slot is free, as predicted at the monotonic time ``now``.

        Of the jobs that run, the last one has begun when the one before it has ended. One that
        should have ended takes a part of its time yet.
        """
        if self.has_idle_slot:
            return 0.0
        *others, last = itertools.islice(self.in_hand.values(), self.slots)
        begun = [(each, each.since) for each in others] + [(last, max(last.since, self.ended_at))]
        return min(
            max((since - now) * 1000 + each.milliseconds, _AT_LEAST_LEFT * each.milliseconds)
            for each, since in begun
        )

    @property
    def gpu_memory_free(self) -> int:
        """Bytes that can still be promised of its GPU that has most of them; 0 without one."""
        gpus = self.resources.gpus
        free = max((gpu.memory_total - gpu.memory_used for gpu in gpus), default=0)
        return free - self.machine.gpu_promised

    def has_room(self, *, ahead: bool) -> bool:
        """Whether it is to get one more job now.

        One job a slot always; ``ahead`` allows as many more as it fetches ahead, and small jobs
        while its batch is being filled. One that was left alone is tried with one; one that is
        failing gets nothing ahead, as it would fail all of that before others can disprove it.
        """
        count = len(self.in_hand)
        if self.left_alone_seconds:
            return count == 0
        if self.failing:
            return count < self.slots
        return (
            count < self.slots
            or (ahead and count < self.slots + self.prefetch)
            or (self.is_filling and count < most_in_hand(self.slots, self.prefetch))
        )

    def fill(self, horizon: float) -> None:
        """See whether its batch is to be filled, so that it lasts for ``horizon`` milliseconds.

        That begins when what it has would not last for half of that: so a call brings many small
        jobs at once, and not one for each that has ended.
        """
        lasts = self.milliseconds / self.slots
        self.is_filling = lasts < (horizon if self.is_filling else horizon / 2)
