"""What the scheduler knows of the workers."""

import itertools

import pytest

from dpip.model.requirements import GpuUse
from dpip.model.worker import Command, Resources, Worker, WorkerState
from dpip.scheduler.demand import Demand
from dpip.scheduler.fleet import Fleet
from dpip.scheduler.node import Node
from dpip.scheduler.placement import Outlook
from dpip.scheduler.policies import least_loaded
from dpip.wire.subjects import Speaker
from tests.unit.scheduler.nodes import GIB, MIB, heartbeat, lease, promise

SILENCE = 6.0
W = Speaker("w", "i")
ANY = Demand()

_numbers = itertools.count()


def new_fleet() -> Fleet:
    return Fleet(least_loaded, silence_seconds=SILENCE)


def fleet() -> Fleet:
    """One worker, ``w``, heard at 0."""
    fleet = new_fleet()
    fleet.heard("w", "i", heartbeat(slots=2), now=0)
    return fleet


def the_node(fleet: Fleet, name: str = "w") -> Node:
    node = fleet.node(name)
    assert node is not None
    return node


def room(fleet: Fleet, now: float = 0.0, demand: Demand = ANY) -> int:
    """How many jobs the fleet takes before it is full; they are left placed on it."""
    placed = 0
    while node := fleet.candidates.choose(demand, Outlook(now=now), "j")[0]:
        held = lease(f"room-{next(_numbers)}", worker=node.name)
        fleet.placed(promise(held, memory=demand.memory))
        placed += 1
    return placed


def chosen(fleet: Fleet, demand: Demand = ANY, *, now: float = 0.0, ahead: bool = True) -> str:
    node, _ = fleet.candidates.choose(demand, Outlook(now=now, ahead=ahead), "j")
    return node.name if node else "nobody"


def known_worker(
    name: str = "w",
    *,
    state: WorkerState = WorkerState.ALIVE,
    command: Command | None = None,
    memory_total: int = GIB,
) -> Worker:
    return Worker(
        name=name,
        instance="i",
        tags=("fast",),
        slots=2,
        prefetch=0,
        state=state,
        resources=Resources(cpu=0, cores=1, memory_total=memory_total, memory_available=0),
        running=0,
        joined_at=0,
        last_seen=0,
        command=command,
    )


# Who is there


def test_a_worker_is_known_as_it_says() -> None:
    """The latest heartbeat counts."""
    known = fleet()
    known.heard("w", "i", heartbeat(slots=5, draining=True), now=1)
    worker = the_node(known)
    assert (worker.name, worker.slots, worker.draining) == ("w", 5, True)
    assert worker.tags == {"fast"}
    assert worker.heard_at == 1
    assert known.slots == 5


def test_a_silent_worker_is_forgotten() -> None:
    """When its silence is longer than it may be, and not before."""
    known = fleet()
    known.heard("other", "i", heartbeat(), now=3)
    known.forget_the_silent(SILENCE)
    assert known.processes() == {W, Speaker("other", "i")}
    known.forget_the_silent(SILENCE + 0.001)
    assert known.processes() == {Speaker("other", "i")}
    assert known.slots == 1


def test_a_worker_that_is_gone_is_forgotten_until_it_is_heard() -> None:
    """Then it is as good as new."""
    known = fleet()
    known.placed(promise(lease("a")))
    known.gone(W)
    known.gone(W)
    assert (len(known), known.machines, room(known)) == (0, 0, 0)
    known.heard("w", "i", heartbeat(), now=1)
    assert room(known) == 1


def test_a_quarantined_worker_is_left_out() -> None:
    """While it is one, however often it is heard, and also when it is heard first afterwards."""
    known = fleet()
    known.heed([known_worker(state=WorkerState.QUARANTINED)])
    known.heard("w", "i", heartbeat(), now=1)
    assert room(known) == 0
    known.gone(W)
    known.heard("w", "i", heartbeat(), now=1)
    assert room(known) == 0
    known.heed([known_worker()])
    assert room(known) == 1


def test_a_worker_that_was_told_to_pause_gets_nothing() -> None:
    """From the moment at which that is known, until it is told otherwise."""
    known = fleet()
    known.heed([known_worker(command=Command.PAUSE)])
    assert room(known) == 0
    known.heed([known_worker()])
    assert room(known) == 2


# What is in hand


def test_room_is_what_is_left_of_slots_and_prefetch() -> None:
    """It goes with each placement and comes back with each end."""
    known = new_fleet()
    known.heard("w", "i", heartbeat(slots=2, prefetch=1), now=0)
    assert room(known) == 3
    known.ended(next(iter(the_node(known).in_hand)))
    assert room(known) == 1


def test_the_same_lease_counts_once() -> None:
    """Placed twice or ended twice."""
    known = fleet()
    for _ in range(2):
        known.placed(promise(lease("a"), memory=MIB))
    machine = the_node(known).machine
    assert (machine.jobs, machine.promised) == (1, MIB)
    for _ in range(2):
        known.ended(lease("a"))
    assert (machine.jobs, machine.promised) == (0, 0)


def test_attempts_of_a_job_are_told_apart() -> None:
    """The end of a former attempt frees no room of the present one."""
    known = fleet()
    known.placed(promise(lease("a", attempt=2)))
    assert known.ended(lease("a", attempt=1)) is None
    assert room(known) == 1


def test_a_promise_becomes_a_lease() -> None:
    """And ends as that."""
    known = fleet()
    promised = promise(lease("a", attempt=0), memory=MIB)
    known.placed(promised)
    known.granted(promised, lease("a"))
    assert set(the_node(known).in_hand) == {lease("a")}
    assert known.ended(lease("a")) is promised
    assert the_node(known).machine.promised == 0


def test_heartbeats_of_a_process_keep_what_was_placed_on_it() -> None:
    """A job on its way is not in the heartbeat yet."""
    known = fleet()
    known.placed(promise(lease("a")))
    known.heard("w", "i", heartbeat(slots=2), now=1)
    assert set(the_node(known).in_hand) == {lease("a")}


def test_a_new_process_has_nothing_of_its_predecessors() -> None:
    """What was placed on the former one is none of its business."""
    known = fleet()
    known.placed(promise(lease("a"), memory=MIB))
    known.heard("w", "new", heartbeat(), now=1)
    assert the_node(known).in_hand == {}
    assert the_node(known).machine.promised == 0
    assert not known.has_in_hand("owner")


def test_a_worker_heard_for_the_first_time_is_as_full_as_it_says() -> None:
    """A scheduler that was just started does not overfill it."""
    known = new_fleet()
    known.heard("w", "i", heartbeat(lease("a"), lease("b"), slots=2), now=0)
    assert set(the_node(known).in_hand) == {lease("a"), lease("b")}
    assert room(known) == 0


def test_placements_on_strangers_are_passed_over() -> None:
    """There is nobody to count them for."""
    known = fleet()
    known.placed(promise(lease("a", worker="stranger")))
    known.ended(lease("a", worker="stranger"))
    assert known.processes() == {W}


def test_the_datastore_has_the_last_word_on_what_is_in_hand() -> None:
    """What it does not list is over, what it lists is in hand, what is being granted stays."""
    known = fleet()
    known.placed(promise(lease("over")))
    known.placed(promise(lease("coming", attempt=0)))
    unknown = known.align([lease("out"), lease("elsewhere", worker="stranger")], now=1)
    assert set(the_node(known).in_hand) == {lease("out"), lease("coming", attempt=0)}
    assert unknown == [lease("out")]
    known.learned(promise(lease("out"), memory=MIB))
    assert known.align([lease("out")], now=1) == []
    assert the_node(known).machine.promised == MIB


def test_a_user_has_something_in_hand_until_the_last_of_it_ends() -> None:
    """On whichever workers."""
    known = fleet()
    for job_id in "ab":
        known.placed(promise(lease(job_id), owner_id="alice"))
    known.ended(lease("a"))
    assert known.has_in_hand("alice")
    assert not known.has_in_hand("bob")
    known.ended(lease("b"))
    assert not known.has_in_hand("alice")


# Memory and machines


def test_memory_is_promised_once_for_a_machine() -> None:
    """Not once for each of its workers."""
    known = new_fleet()
    for name in "ab":
        known.heard(name, "i", heartbeat(slots=8, machine="m"), now=0)
    assert known.machines == 1
    assert room(known, demand=Demand(memory=300 * MIB)) == 3


def test_what_the_workers_occupy_is_not_lost_to_jobs() -> None:
    """It is for the jobs that they have in hand."""
    known = new_fleet()
    for name in "ab":
        beat = heartbeat(slots=8, machine="m", memory_ours=200 * MIB, memory_available=624 * MIB)
        known.heard(name, "i", beat, now=0)
    assert room(known, demand=Demand(memory=300 * MIB)) == 3


def test_a_worker_may_move_to_another_machine() -> None:
    """Its promises go with it."""
    known = new_fleet()
    known.heard("w", "i", heartbeat(slots=2, machine="old"), now=0)
    known.placed(promise(lease("a"), memory=MIB))
    known.heard("w", "i", heartbeat(slots=2, machine="new"), now=1)
    machine = the_node(known).machine
    assert (machine.name, machine.slots, machine.jobs, machine.promised) == ("new", 2, 1, MIB)
    assert known.machines == 1


def test_the_largest_machine_that_has_been_counts() -> None:
    """One that has gone may come back; only those with the tags count."""
    known = fleet()
    assert known.most_memory(frozenset(), GpuUse.NEVER) == (GIB, 0)
    assert known.most_memory(frozenset({"gpu"}), GpuUse.NEVER) is None
    assert known.most_memory(frozenset(), GpuUse.REQUIRED) is None
    known.heed([known_worker("gone", state=WorkerState.LOST, memory_total=4 * GIB)])
    assert known.most_memory(frozenset({"fast"}), GpuUse.NEVER) == (4 * GIB, 0)


# Choosing


def test_an_express_job_goes_where_a_slot_is_free_soonest() -> None:
    """When none is idle."""
    known = new_fleet()
    for name, milliseconds in [("long", 900.0), ("short", 20.0), ("middle", 300.0)]:
        known.heard(name, "i", heartbeat(prefetch=1), now=0)
        for number in range(2):
            held = lease(f"{name}-{number}", worker=name)
            known.placed(promise(held, milliseconds=milliseconds))
    assert chosen(known) == "nobody"
    assert chosen(known, Demand(express=True)) == "short"
    known.placed(promise(lease("e", worker="short"), express=True))
    assert chosen(known, Demand(express=True)) == "middle"


def test_an_express_job_begins_at_once_where_that_can_be() -> None:
    """An idle slot is better than any place in a line."""
    known = new_fleet()
    known.heard("busy", "i", heartbeat(prefetch=5), now=0)
    known.placed(promise(lease("a", worker="busy"), milliseconds=1.0))
    known.heard("idle", "i", heartbeat(), now=0)
    assert chosen(known, Demand(express=True)) == "idle"


def test_the_last_jobs_wait_for_an_idle_slot() -> None:
    """Behind another they would be done later than elsewhere."""
    known = new_fleet()
    known.heard("w", "i", heartbeat(prefetch=1), now=0)
    known.placed(promise(lease("a")))
    assert chosen(known, ahead=False) == "nobody"
    assert chosen(known, ahead=True) == "w"


def test_batches_grow_with_what_waits() -> None:
    """Who was full for a short backlog has room in a long one."""
    known = fleet()
    known.candidates.look_ahead(0)
    for number in range(2):
        known.placed(promise(lease(str(number)), milliseconds=1.0))
    assert chosen(known) == "nobody"
    known.candidates.look_ahead(10)
    assert room(known) > 0


def test_a_job_that_waits_occupies_no_memory() -> None:
    """A worker runs one a slot at once; the largest of them count."""
    known = new_fleet()
    known.heard("w", "i", heartbeat(slots=1, prefetch=9), now=0)
    machine = the_node(known).machine
    for number, memory in enumerate([300, 500, 400]):
        known.placed(promise(lease(str(number)), memory=memory * MIB))
    assert machine.promised == 500 * MIB
    assert room(known, demand=Demand(memory=900 * MIB)) == 7
    assert machine.promised == 900 * MIB
    for held in list(the_node(known).in_hand):
        known.ended(held)
    assert machine.promised == 0


def test_memory_that_comes_free_is_there_for_all_of_a_machine() -> None:
    """A worker that was short of it gets a job without another heartbeat."""
    known = new_fleet()
    for name in "ab":
        known.heard(name, "i", heartbeat(machine="m"), now=0)
    known.placed(promise(lease("a", worker="a"), memory=GIB))
    demand = Demand(memory=50 * MIB)
    known.heard("b", "i", heartbeat(machine="m"), now=1)
    assert chosen(known, demand) == "nobody"
    known.ended(lease("a", worker="a"))
    known.placed(promise(lease("small", worker="a"), memory=MIB))
    assert chosen(known, demand) == "b"


def test_a_slow_worker_is_found_out() -> None:
    """By how long its jobs take, beside what is predicted; one job does not tell all."""
    known = fleet()
    for number in range(100):
        held = promise(lease(str(number)), milliseconds=100.0 * the_node(known).slowness)
        known.placed(held)
        known.ended(held.lease)
        known.took(held, milliseconds=300.0)
        if number == 0:
            assert the_node(known).slowness < 1.5
    assert 2.9 < the_node(known).slowness < 3.1


def test_a_liar_is_slow_or_fast_within_bounds() -> None:
    """Whatever it says its jobs took."""
    known = fleet()
    for took in [0.0, 1e9] * 100:
        known.took(promise(lease("a"), milliseconds=1.0), milliseconds=took)
        assert 0.1 <= the_node(known).slowness <= 10


# Workers that do not answer


def silent(times: int) -> tuple[Fleet, float]:
    """A fleet whose worker has said nothing so often, and when it did so last."""
    known, now = fleet(), 0.0
    for _ in range(times):
        now = max(now, the_node(known).left_alone_until)
        known.heard("w", "i", heartbeat(slots=2), now=now)
        known.unanswered(W, now)
    return known, now


@pytest.mark.parametrize(
    ("times", "longest"), [(1, 1), (2, 2), (3, 4), (5, 16), (6, 30), (50, 30), (2000, 30)]
)
def test_a_worker_that_does_not_answer_is_left_alone(times: int, longest: float) -> None:
    """Each time twice as long, though it is heard, within bounds and not all in one instant."""
    pauses = set()
    for _ in range(20):
        known, now = silent(times)
        pause = the_node(known).left_alone_until - now
        assert longest / 2 <= pause <= longest
        pauses.add(pause)
        for moment, there in [(now, False), (now + pause - 0.01, False), (now + pause, True)]:
            known.heard("w", "i", heartbeat(slots=2), now=moment)
            assert (chosen(known, now=moment) == "w") == there
    assert len(pauses) > 1


def test_calls_of_one_round_count_once() -> None:
    """A worker with many slots was sent many calls."""
    known = fleet()
    for _ in range(10):
        known.unanswered(W, 0)
    assert the_node(known).left_alone_seconds == 1


def test_a_worker_that_did_not_answer_is_tried_with_one_job() -> None:
    """Until it takes it; then it is as good as any."""
    known, now = silent(1)
    assert room(known, now=now + 1) == 1
    known.answered(W)
    assert room(known, now=now + 1) == 1


def test_an_answer_ends_the_pause_and_its_growth() -> None:
    """The next silence is the first again."""
    known, now = silent(4)
    known.answered(W)
    known.unanswered(W, now)
    assert the_node(known).left_alone_until - now <= 1


def test_a_new_process_is_not_blamed_for_its_predecessor() -> None:
    """It may hear well."""
    known, now = silent(4)
    known.heard("w", "new", heartbeat(slots=2), now=now)
    assert the_node(known).left_alone_seconds == 0
    assert room(known, now=now) == 2


def test_answers_of_strangers_are_passed_over() -> None:
    """They may have left since they were called."""
    known = fleet()
    known.answered(Speaker("stranger", "i"))
    known.unanswered(Speaker("stranger", "i"), 0)
    assert room(known) == 2


def test_a_verdict_on_a_former_process_is_none_on_the_present_one() -> None:
    """A call to the old one may end when the new one has been heard."""
    known = fleet()
    known.heard("w", "new", heartbeat(slots=2), now=1)
    known.unanswered(W, 1)
    known.returned(W, 1)
    known.gone(W)
    assert known.processes() == {Speaker("w", "new")}
    assert room(known, now=1) == 2


# Workers that give jobs back


def returning(times: int) -> tuple[Fleet, float]:
    """A fleet whose worker has taken so many jobs and given each back, and when it did so last."""
    known, now = fleet(), 0.0
    for _ in range(times):
        now = max(now, the_node(known).left_alone_until)
        known.heard("w", "i", heartbeat(slots=2), now=now)
        known.answered(W)
        known.returned(W, now)
    return known, now


@pytest.mark.parametrize(("times", "longest"), [(1, 1), (2, 2), (3, 4), (50, 30)])
def test_a_worker_that_gives_jobs_back_is_left_alone(times: int, longest: float) -> None:
    """Each time twice as long, though it takes each job at first; then it is tried with one."""
    known, now = returning(times)
    pause = the_node(known).left_alone_until - now
    assert longest / 2 <= pause <= longest
    assert room(known, now=now) == 0
    known.heard("w", "i", heartbeat(slots=2), now=now + pause)
    assert room(known, now=now + pause) == 1


def test_a_job_that_is_done_ends_the_pause() -> None:
    """The worker can do jobs again; one that it fails does not show that."""
    known, now = returning(4)
    known.failed(W)
    assert room(known, now=now) == 0
    known.done(W)
    assert room(known, now=now) == 2
    known.returned(W, now)
    assert the_node(known).left_alone_until - now <= 1


def test_one_that_has_failed_a_job_gets_nothing_ahead_until_it_has_done_one() -> None:
    """Its slots are filled and no more, so that few jobs are failed before others disprove it."""
    known = new_fleet()
    known.heard("w", "i", heartbeat(slots=2, prefetch=3), now=0)
    known.failed(W)
    assert room(known) == 2
    known.answered(W)
    assert room(known) == 0
    known.done(W)
    assert room(known) == 3
