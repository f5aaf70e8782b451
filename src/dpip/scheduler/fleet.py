"""What the scheduler knows of the workers, from their heartbeats and its own calls."""

import random
from collections.abc import Collection, Iterable, Iterator

from dpip.model.job import Lease
from dpip.model.requirements import GpuUse
from dpip.model.worker import Command, Resources, Worker, WorkerState
from dpip.scheduler.candidates import Candidates
from dpip.scheduler.node import Machine, Node, Promise
from dpip.scheduler.policies import Policy
from dpip.wire.messages import Heartbeat
from dpip.wire.subjects import Speaker

_LONGEST_PAUSE_SECONDS, _MOMENT_SECONDS = 30.0, 0.5
_UNKNOWN_MILLISECONDS, _UNKNOWN_MEMORY = 1000.0, 128 * 1024 * 1024
"""What a lease is taken to need that another scheduler has granted, until that is read."""

_PACE_GAIN = 0.1
_LEAST_SLOWNESS, _MOST_SLOWNESS = 0.1, 10.0


class Fleet:
    """All workers that have been heard of lately, and what is promised to jobs of each."""

    def __init__(self, policy: Policy, *, silence_seconds: float) -> None:
        self._silence_seconds = silence_seconds
        self._nodes: dict[str, Node] = {}
        self._machines: dict[str, Machine] = {}
        self._quarantined: set[str] = set()
        self._told: dict[str, Command] = {}
        self._leases_of_owner: dict[str, int] = {}
        self._known: list[tuple[frozenset[str], Resources]] = []
        self._most_memory: dict[tuple[frozenset[str], bool], tuple[int, int] | None] = {}
        self.candidates = Candidates(policy)
        self.slots = 0
        """Slots of all workers together."""

    def __len__(self) -> int:
        return len(self._nodes)

    def __iter__(self) -> Iterator[Node]:
        return iter(self._nodes.values())

    @property
    def machines(self) -> int:
        """How many machines there are."""
        return len(self._machines)

    def node(self, name: str) -> Node | None:
        """The worker of that name."""
        return self._nodes.get(name)

    def has(self, process: Speaker) -> bool:
        """Whether it is this process that is known under its name."""
        node = self._nodes.get(process.worker)
        return node is not None and node.instance == process.instance

    def processes(self) -> set[Speaker]:
        """All of them."""
        return {node.speaker for node in self._nodes.values()}

    def has_in_hand(self, owner_id: str) -> bool:
        """Whether any worker has a job of that user."""
        return self._leases_of_owner.get(owner_id, 0) > 0

    # Who is there

    def heard(self, name: str, instance: str, beat: Heartbeat, now: float) -> None:
        """Take in what a process of worker ``name`` says of itself."""
        node = self._nodes.get(name)
        if node is None or node.instance != instance:
            if node:
                self._remove(node)
            node = self._add(name, instance, beat, now)
        else:
            self._move(node, beat)
            self.slots += beat.slots - node.slots
            node.machine.slots += beat.slots - node.slots
            ours = beat.resources.memory_ours - node.resources.memory_ours
            node.machine.occupied += ours
        node.tags = frozenset(beat.tags)
        node.slots, node.prefetch = beat.slots, beat.prefetch
        node.draining, node.paused = beat.draining, beat.paused
        node.resources, node.heard_at = beat.resources, now
        self._nodes[name] = self._nodes.pop(name)
        self._promise_memory(node)
        self.candidates.changed(node)

    def forget_the_silent(self, now: float) -> None:
        """Forget the workers not heard within the last ``silence_seconds``."""
        while self._nodes:
            node = next(iter(self._nodes.values()))  # The one that has not been heard for longest.
            if now - node.heard_at <= self._silence_seconds:
                return
            self._remove(node)

    def gone(self, process: Speaker) -> None:
        """Forget a worker, unless another process of it has been heard since."""
        if self.has(process):
            self._remove(self._nodes[process.worker])

    def heed(self, workers: Collection[Worker]) -> None:
        """Take in what the datastore says: who is in quarantine, and what each has been told."""
        self._quarantined = {each.name for each in workers if each.state is WorkerState.QUARANTINED}
        self._told = {each.name: each.command for each in workers if each.command is not None}
        self._known = [(frozenset(each.tags), each.resources) for each in workers]
        self._most_memory.clear()
        for node in self._nodes.values():
            quarantined = node.name in self._quarantined
            told = self._told.get(node.name)
            if (quarantined, told) != (node.quarantined, node.told):
                node.quarantined, node.told = quarantined, told
                self.candidates.changed(node)

    # What became of a call

    def answered(self, process: Speaker) -> None:
        """A worker has answered a call; that does not tell that it can do a job."""
        if self.has(process) and not self._nodes[process.worker].returned:
            self._trust(self._nodes[process.worker])

    def done(self, process: Speaker) -> None:
        """A worker has done a job."""
        if self.has(process):
            self._trust(self._nodes[process.worker])
            self._set_failing(self._nodes[process.worker], failing=False)

    def failed(self, process: Speaker) -> None:
        """A worker has failed a job, which may have been at fault."""
        if self.has(process):
            self._set_failing(self._nodes[process.worker], failing=True)

    def unanswered(self, process: Speaker, now: float) -> None:
        """A worker has said nothing to a call: leave it alone, each time twice as long.

        It may be heard and not hear, where a network fails one way.
        """
        if self.has(process):
            self._leave_alone(self._nodes[process.worker], now)

    def made_room(self, process: Speaker, now: float) -> None:
        """A worker has given a job back in good order: leave it alone for a moment."""
        node = self._nodes.get(process.worker)
        if node and self.has(process):
            node.left_alone_until = max(node.left_alone_until, now + _MOMENT_SECONDS)

    def returned(self, process: Speaker, now: float) -> None:
        """A worker has given a job back: leave it alone, each time twice as long.

        It may take jobs and be able to do none. Idle, it would be the first to get the next.
        """
        if self.has(process):
            self._nodes[process.worker].returned = True
            self._leave_alone(self._nodes[process.worker], now)

    def took(self, promise: Promise, milliseconds: float) -> None:
        """Learn from a finished job how fast its worker is, for its class."""
        node = self._nodes.get(promise.lease.worker)
        if node is None or promise.milliseconds <= 0:
            return
        # What was promised has the slowness of then in it.
        slowness = milliseconds / promise.milliseconds * node.slowness
        node.slowness += _PACE_GAIN * (_bounded(slowness) - node.slowness)
        if promise.usual_milliseconds > 0:
            pace = milliseconds / promise.usual_milliseconds
            node.pace += _PACE_GAIN * (_bounded(pace) - node.pace)

    # What is in hand

    def placed(self, promise: Promise) -> None:
        """Count a lease as in its worker's hand."""
        node = self._nodes.get(promise.lease.worker)
        if node is None or promise.lease in node.in_hand:
            return
        node.in_hand[promise.lease] = promise
        self._count(node, promise, 1)
        self.candidates.changed(node)

    def granted(self, promise: Promise, lease: Lease) -> None:
        """What was promised has become ``lease``."""
        node = self._nodes.get(lease.worker)
        if node and node.in_hand.pop(promise.lease, None):
            node.in_hand[lease] = promise
        promise.lease = lease

    def ended(self, lease: Lease, now: float | None = None) -> Promise | None:
        """Count ``lease`` as over; what it was predicted to take, if it was in hand.

        ``now`` is the monotonic time, of a job that has really come to an end.
        """
        node = self._nodes.get(lease.worker)
        promise = node.in_hand.pop(lease, None) if node else None
        if node is None or promise is None:
            return None
        if now is not None:
            node.ended_at = now
        self._count(node, promise, -1)
        self.candidates.changed(node)
        return promise

    def align(self, out: Iterable[Lease], now: float) -> list[Lease]:
        """Make what is in hand equal to the leases that are out, as the datastore knows them.

        Those that are being granted, of attempt 0, stay. Returns the leases that nothing more is
        known of.
        """
        of_worker: dict[str, set[Lease]] = {}
        for lease in out:
            of_worker.setdefault(lease.worker, set()).add(lease)
        for node in self._nodes.values():
            leases = of_worker.get(node.name, set())
            for lease in node.in_hand.keys() - leases:
                if lease.attempt:
                    self.ended(lease)
            for lease in leases - node.in_hand.keys():
                self.placed(_unknown(lease, now))
        return [promise.lease for promise in self.in_hand() if promise.job is None]

    def learned(self, promise: Promise) -> None:
        """Take in what a lease that is in hand is predicted to take."""
        if self.ended(promise.lease):
            self.placed(promise)

    def in_hand(self) -> Iterator[Promise]:
        """All promises that are out."""
        for node in self._nodes.values():
            yield from node.in_hand.values()

    def most_memory(self, tags: frozenset[str], gpu: GpuUse) -> tuple[int, int] | None:
        """The most bytes of memory, and of one GPU's, that a worker with ``tags`` has altogether.

        With a GPU where that is required; workers that have gone count too. ``None``: no such
        worker has been known.
        """
        key = tags, gpu is GpuUse.REQUIRED
        if key not in self._most_memory:
            here = [(node.tags, node.resources) for node in self._nodes.values()]
            fitting = [
                resources
                for carried, resources in [*here, *self._known]
                if tags <= carried and (resources.gpus or gpu is not GpuUse.REQUIRED)
            ]
            gpus = [gpu.memory_total for resources in fitting for gpu in resources.gpus]
            self._most_memory[key] = (
                (max(resources.memory_total for resources in fitting), max(gpus, default=0))
                if fitting
                else None
            )
        return self._most_memory[key]

    def _add(self, name: str, instance: str, beat: Heartbeat, now: float) -> Node:
        machine = self._machine(name, beat)
        machine.slots += beat.slots
        machine.occupied += beat.resources.memory_ours
        self.slots += beat.slots
        node = Node(
            name=name,
            instance=instance,
            tags=frozenset(beat.tags),
            slots=beat.slots,
            prefetch=beat.prefetch,
            draining=beat.draining,
            resources=beat.resources,
            heard_at=now,
            machine=machine,
            quarantined=name in self._quarantined,
            told=self._told.get(name),
        )
        self._nodes[name] = node
        self.candidates.add(node)
        self._most_memory.clear()
        # What a process says it holds is all that is known of one not heard of before.
        for attempt in beat.running:
            lease = Lease(job_id=attempt.job_id, attempt=attempt.attempt, worker=name)
            self.placed(_unknown(lease, now))
        return node

    def _machine(self, name: str, beat: Heartbeat) -> Machine:
        known = beat.resources.machine or name
        return self._machines.setdefault(known, Machine(name=known))

    def _move(self, node: Node, beat: Heartbeat) -> None:
        machine = self._machine(node.name, beat)
        if machine is node.machine:
            return
        gpu_memory = sum(promise.gpu_memory for promise in node.in_hand.values())
        node.machine.jobs -= len(node.in_hand)
        node.machine.promised -= node.memory
        node.machine.gpu_promised -= gpu_memory
        self._leave_machine(node)
        node.machine = machine
        machine.slots += node.slots
        machine.occupied += node.resources.memory_ours
        machine.jobs += len(node.in_hand)
        machine.promised += node.memory
        machine.gpu_promised += gpu_memory

    def _remove(self, node: Node) -> None:
        for lease in list(node.in_hand):
            self._count(node, node.in_hand.pop(lease), -1)
        self._leave_machine(node)
        self.slots -= node.slots
        self.candidates.remove(node)
        del self._nodes[node.name]

    def _leave_machine(self, node: Node) -> None:
        machine = node.machine
        machine.short.discard(node.name)
        machine.slots -= node.slots
        machine.occupied -= node.resources.memory_ours
        if not machine.slots:
            self._machines.pop(machine.name, None)

    def _count(self, node: Node, promise: Promise, by: int) -> None:
        node.milliseconds = max(0.0, node.milliseconds + by * promise.milliseconds)
        node.express_in_hand += by * promise.express
        node.machine.jobs += by
        node.machine.gpu_promised += by * promise.gpu_memory
        self._promise_memory(node)
        if promise.owner_id is not None:
            owned = self._leases_of_owner.get(promise.owner_id, 0) + by
            if owned:
                self._leases_of_owner[promise.owner_id] = owned
            else:
                self._leases_of_owner.pop(promise.owner_id, None)

    def _promise_memory(self, node: Node) -> None:
        largest = [promise.memory for promise in node.in_hand.values()]
        if len(largest) > node.slots:
            largest = sorted(largest)[-node.slots :]
        memory = sum(largest)
        node.machine.promised += memory - node.memory
        node.memory = memory
        node.least_memory = min(largest) if len(largest) == node.slots else 0

    def _trust(self, node: Node) -> None:
        if node.left_alone_seconds:
            node.left_alone_seconds = node.left_alone_until = 0.0
            self.candidates.changed(node)
        node.returned = False

    def _set_failing(self, node: Node, *, failing: bool) -> None:
        if node.failing is not failing:
            node.failing = failing
            self.candidates.changed(node)

    def _leave_alone(self, node: Node, now: float) -> None:
        if node.left_alone_until > now:  # What happens in one round counts once.
            return
        node.left_alone_seconds = min(_LONGEST_PAUSE_SECONDS, 2 * node.left_alone_seconds or 1.0)
        jitter = random.uniform(0.5, 1.0)  # noqa: S311  # nosec B311 # no secret
        node.left_alone_until = now + node.left_alone_seconds * jitter
        self.candidates.changed(node)


def _bounded(slowness: float) -> float:
    return min(_MOST_SLOWNESS, max(_LEAST_SLOWNESS, slowness))


def _unknown(lease: Lease, now: float) -> Promise:
    return Promise(
        lease=lease, milliseconds=_UNKNOWN_MILLISECONDS, memory=_UNKNOWN_MEMORY, since=now
    )
