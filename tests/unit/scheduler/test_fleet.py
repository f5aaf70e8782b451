import pytest

from dpip.scheduler.fleet import Fleet, Node
from dpip.wire.subjects import Speaker
from tests.unit.scheduler.nodes import heartbeat, lease

SILENCE = 6.0
W = Speaker("w", "i")


def fleet() -> Fleet:
    """One worker, ``w``, heard at 0."""
    fleet = Fleet(silence_seconds=SILENCE)
    fleet.heard("w", "i", heartbeat(slots=2), now=0)
    return fleet


def the_node(fleet: Fleet, name: str = "w") -> Node:
    node = fleet.node(name)
    assert node is not None
    return node


def test_a_worker_is_known_as_it_says() -> None:
    """The latest heartbeat counts."""
    known = fleet()
    known.heard("w", "i", heartbeat(slots=5, draining=True), now=1)
    worker = the_node(known)
    assert (worker.name, worker.slots, worker.draining) == ("w", 5, True)
    assert worker.tags == {"fast"}
    assert worker.heard_at == 1


def test_a_silent_worker_is_forgotten() -> None:
    """When its silence is longer than it may be, and not before."""
    known = fleet()
    known.heard("other", "i", heartbeat(), now=3)
    assert {node.name for node in known.reachable(SILENCE)} == {"w", "other"}
    assert {node.name for node in known.reachable(SILENCE + 0.001)} == {"other"}
    assert known.node("w") is None


def test_room_is_what_is_left_of_slots_and_prefetch() -> None:
    """It goes with each placement and comes back with each end."""
    known = fleet()
    worker = the_node(known)
    assert worker.room == 2
    known.placed(lease("a"))
    known.placed(lease("b"))
    assert worker.room == 0
    known.ended(lease("a"))
    assert worker.room == 1


def test_the_same_lease_counts_once() -> None:
    """Placed twice or ended twice."""
    known = fleet()
    for _ in range(2):
        known.placed(lease("a"))
    assert the_node(known).room == 1
    for _ in range(2):
        known.ended(lease("a"))
    assert the_node(known).room == 2


def test_attempts_of_a_job_are_told_apart() -> None:
    """The end of a former attempt frees no room of the present one."""
    known = fleet()
    known.placed(lease("a", attempt=2))
    known.ended(lease("a", attempt=1))
    assert the_node(known).room == 1


def test_heartbeats_of_a_process_keep_what_was_placed_on_it() -> None:
    """A job on its way is not in the heartbeat yet."""
    known = fleet()
    known.placed(lease("a"))
    known.heard("w", "i", heartbeat(slots=2), now=1)
    assert the_node(known).in_hand == {lease("a")}


def test_a_new_process_has_nothing_of_its_predecessors() -> None:
    """What was placed on the former one is none of its business."""
    known = fleet()
    known.placed(lease("a"))
    known.heard("w", "new", heartbeat(), now=1)
    assert the_node(known).in_hand == set()


def test_a_worker_heard_for_the_first_time_is_as_full_as_it_says() -> None:
    """A scheduler that was just started does not overfill it."""
    known = Fleet(silence_seconds=SILENCE)
    known.heard("w", "i", heartbeat(lease("a"), lease("b"), slots=2), now=0)
    assert the_node(known).in_hand == {lease("a"), lease("b")}
    assert the_node(known).room == 0


def test_a_worker_that_is_gone_is_forgotten_until_it_is_heard() -> None:
    """Then it is as good as new."""
    known = fleet()
    known.placed(lease("a"))
    known.gone(W)
    known.gone(W)
    assert known.reachable(0) == []
    known.heard("w", "i", heartbeat(), now=1)
    assert the_node(known).room == 1


def test_placements_on_strangers_are_passed_over() -> None:
    """There is nobody to count them for."""
    known = fleet()
    known.placed(lease("a", worker="stranger"))
    known.ended(lease("a", worker="stranger"))
    assert [node.name for node in known.reachable(0)] == ["w"]


def test_the_datastore_has_the_last_word_on_what_is_in_hand() -> None:
    """What it does not list is over, what it lists is in hand."""
    known = fleet()
    known.placed(lease("over"))
    known.align([lease("out"), lease("elsewhere", worker="stranger")])
    assert the_node(known).in_hand == {lease("out")}


def test_a_quarantined_worker_is_left_out() -> None:
    """While it is one, however often it is heard."""
    known = fleet()
    known.heard("other", "i", heartbeat(), now=0)
    known.quarantine({"w", "nobody"})
    known.heard("w", "i", heartbeat(), now=1)
    assert [node.name for node in known.reachable(1)] == ["other"]
    known.quarantine(set())
    assert {node.name for node in known.reachable(1)} == {"w", "other"}


# Workers that do not answer


def silent(times: int) -> tuple[Fleet, float]:
    """A fleet whose worker has said nothing so often, and when it did so last."""
    known, now = fleet(), 0.0
    for _ in range(times):
        now = max(now, the_node(known).paused_until)
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
        pause = the_node(known).paused_until - now
        assert longest / 2 <= pause <= longest
        pauses.add(pause)
        for moment, there in [(now, False), (now + pause - 0.01, False), (now + pause, True)]:
            known.heard("w", "i", heartbeat(slots=2), now=moment)
            assert bool(known.reachable(moment)) == there
    assert len(pauses) > 1


def test_calls_of_one_round_count_once() -> None:
    """A worker with many slots was sent many calls."""
    known = fleet()
    for _ in range(10):
        known.unanswered(W, 0)
    assert the_node(known).pause_seconds == 1


def test_a_worker_that_did_not_answer_is_tried_with_one_job() -> None:
    """Until it takes it; then it is as good as any."""
    known, _ = silent(1)
    assert the_node(known).room == 1
    known.placed(lease("a"))
    assert the_node(known).room == 0
    known.answered(W)
    assert the_node(known).room == 1
    assert known.reachable(0)


def test_an_answer_ends_the_pause_and_its_growth() -> None:
    """The next silence is the first again."""
    known, now = silent(4)
    known.answered(W)
    known.unanswered(W, now)
    assert the_node(known).paused_until - now <= 1


def test_a_new_process_is_not_blamed_for_its_predecessor() -> None:
    """It may hear well."""
    known, now = silent(4)
    known.heard("w", "new", heartbeat(slots=2), now=now)
    assert (the_node(known).pause_seconds, the_node(known).room) == (0, 2)
    assert known.reachable(now)


def test_answers_of_strangers_are_passed_over() -> None:
    """They may have left since they were called."""
    known = fleet()
    known.answered(Speaker("stranger", "i"))
    known.unanswered(Speaker("stranger", "i"), 0)
    assert [node.name for node in known.reachable(0)] == ["w"]


def test_a_verdict_on_a_former_process_is_none_on_the_present_one() -> None:
    """A call to the old one may end when the new one has been heard."""
    known = fleet()
    known.heard("w", "new", heartbeat(slots=2), now=1)
    known.unanswered(W, 1)
    known.returned(W, 1)
    known.gone(W)
    assert [node.instance for node in known.reachable(1)] == ["new"]
    assert the_node(known).room == 2


# Workers that give jobs back


def returning(times: int) -> tuple[Fleet, float]:
    """A fleet whose worker has taken so many jobs and given each back, and when it did so last."""
    known, now = fleet(), 0.0
    for _ in range(times):
        now = max(now, the_node(known).paused_until)
        known.heard("w", "i", heartbeat(slots=2), now=now)
        known.answered(W)
        known.returned(W, now)
    return known, now


@pytest.mark.parametrize(("times", "longest"), [(1, 1), (2, 2), (3, 4), (50, 30)])
def test_a_worker_that_gives_jobs_back_is_left_alone(times: int, longest: float) -> None:
    """Each time twice as long, though it takes each job at first; then it is tried with one."""
    known, now = returning(times)
    pause = the_node(known).paused_until - now
    assert longest / 2 <= pause <= longest
    assert known.reachable(now) == []
    known.heard("w", "i", heartbeat(slots=2), now=now + pause)
    assert [node.room for node in known.reachable(now + pause)] == [1]


def test_a_job_brought_to_its_end_ends_the_pause() -> None:
    """The worker can do jobs again."""
    known, now = returning(4)
    known.finished(W)
    assert [node.room for node in known.reachable(now)] == [2]
    known.returned(W, now)
    assert the_node(known).paused_until - now <= 1
