"""A worker that only takes time."""

from collections import deque
from collections.abc import Callable

from msgspec import Struct

from dpip.model.cost import Cost
from dpip.model.job import Lease
from dpip.model.worker import Resources
from dpip.simulation.agenda import Agenda
from dpip.simulation.scenario import Jobs, WorkerPlan
from dpip.wire.messages import Heartbeat, Run, Running

PREFETCH = 2


class Ended(Struct, frozen=True):
    """An attempt that has run to its end on a slot of a worker."""

    worker: "SimulatedWorker"
    lease: Lease
    cost: Cost
    slot: int
    started_at: float


class Occupancy(Struct):
    """What the workers of a machine have in use; ``most_memory`` is what they had at once."""

    busy: int = 0
    memory: int = 0
    most_memory: int = 0

    def occupy(self, memory: int) -> None:
        """A core and so many bytes are in use from now on."""
        self.busy += 1
        self.memory += memory
        self.most_memory = max(self.most_memory, self.memory)


class SimulatedWorker:
    """Takes every run that it is called with, and works on as many at once as it has slots.

    A job takes its work divided by the machine's speed. An express run goes before all that wait.
    """

    def __init__(
        self,
        plan: WorkerPlan,
        occupancy: Occupancy,
        jobs: Jobs,
        agenda: Agenda,
        on_end: Callable[[Ended], None],
    ) -> None:
        self.plan = plan
        self.instance = ""
        self._occupancy = occupancy
        self._jobs = jobs
        self._agenda = agenda
        self._on_end = on_end
        self._free_slots = list(range(plan.slots))
        self.at_work: dict[int, Ended] = {}
        """By slot, what will have ended if the worker lives."""
        self._waiting: deque[Running] = deque()
        self._in_hand: dict[Running, int] = {}
        self._memory = 0

    def begin(self, instance: str) -> None:
        """Be another process, with nothing in hand."""
        self.instance = instance

    def die(self) -> list[Lease]:
        """Lose all that is in hand, and say what that was."""
        lost = [self._lease(attempt) for attempt in self._in_hand]
        self.instance = ""
        self._occupancy.busy -= len(self.at_work)
        self._occupancy.memory -= self._memory
        self._memory = 0
        self._free_slots = list(range(self.plan.slots))
        self.at_work.clear()
        self._waiting.clear()
        self._in_hand.clear()
        return lost

    def take(self, runs: tuple[Run, ...]) -> tuple[Running, ...]:
        """Have these in hand from now on."""
        taken = tuple(Running(job_id=run.job_id, attempt=run.attempt) for run in runs)
        for run, attempt in zip(runs, taken, strict=True):
            self._in_hand[attempt] = int(run.job_id)
            if run.express:
                self._waiting.appendleft(attempt)
            else:
                self._waiting.append(attempt)
        self._fill_slots()
        return taken

    def hand_over(self, lease: Lease) -> bool:
        """Have the attempt in hand no more; whether it was."""
        attempt = Running(job_id=lease.job_id, attempt=lease.attempt)
        return self._in_hand.pop(attempt, None) is not None

    def heartbeat(self) -> Heartbeat:
        """What it says of itself."""
        occupancy = self._occupancy
        return Heartbeat(
            tags=(),
            slots=self.plan.slots,
            prefetch=PREFETCH,
            draining=False,
            resources=resources_of(
                self.plan, busy=occupancy.busy, occupied=occupancy.memory, ours=self._memory
            ),
            running=tuple(self._in_hand),
        )

    def _fill_slots(self) -> None:
        while self._waiting and self._free_slots:
            attempt = self._waiting.popleft()
            job = self._in_hand[attempt]
            slot = self._free_slots.pop()
            self._occupancy.occupy(self._jobs.memory[job])
            self._memory += self._jobs.memory[job]
            milliseconds = self._jobs.work[job] / self.plan.machine.speed
            self.at_work[slot] = ended = Ended(
                worker=self,
                lease=self._lease(attempt),
                cost=Cost(
                    milliseconds=milliseconds,
                    cpu_milliseconds=milliseconds,
                    memory=self._jobs.memory[job],
                ),
                slot=slot,
                started_at=self._agenda.now,
            )
            self._agenda.after(milliseconds / 1000, self._end, self.instance, ended)

    def _end(self, instance: str, ended: Ended) -> None:
        if instance != self.instance:  # It died meanwhile.
            return
        self._free_slots.append(ended.slot)
        del self.at_work[ended.slot]
        self._occupancy.busy -= 1
        self._occupancy.memory -= ended.cost.memory
        self._memory -= ended.cost.memory
        self._fill_slots()
        self._on_end(ended)

    def _lease(self, attempt: Running) -> Lease:
        return Lease(job_id=attempt.job_id, attempt=attempt.attempt, worker=self.plan.name)


def resources_of(plan: WorkerPlan, *, busy: int = 0, occupied: int = 0, ours: int = 0) -> Resources:
    """A reading of a worker's machine, of which ``busy`` cores and ``occupied`` bytes are in use.

    Of these bytes, ``ours`` are the worker's.
    """
    machine = plan.machine
    return Resources(
        cpu=min(1.0, busy / machine.cores),
        cores=machine.cores,
        memory_total=machine.memory,
        memory_available=max(0, machine.memory - occupied),
        machine=machine.name,
        processor=machine.processor,
        memory_ours=ours,
    )
