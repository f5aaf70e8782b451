"""Who can take a job, and the words for why not."""

import pytest

from dpip.model.requirements import GpuUse
from dpip.model.worker import Command
from dpip.scheduler.demand import Demand
from dpip.scheduler.node import Machine, Node
from dpip.scheduler.placement import Outlook, infeasibility, penalty
from tests.unit.scheduler.nodes import GIB, MIB, node

NOW = Outlook(now=10.0)
AT_THE_END = Outlook(now=10.0, ahead=False)
ANY = Demand()


def left_alone() -> Node:
    worker = node(slots=4)
    worker.left_alone_seconds, worker.left_alone_until = 4.0, 12.0
    return worker


def told_to_pause() -> Node:
    worker = node()
    worker.told = Command.PAUSE
    return worker


def quarantined() -> Node:
    worker = node()
    worker.quarantined = True
    return worker


def test_an_idle_worker_can_take_a_job() -> None:
    """Nothing speaks against it."""
    assert infeasibility(node(), ANY, NOW) is None


@pytest.mark.parametrize(
    ("worker", "reason"),
    [
        (node(draining=True), "is draining"),
        (node(paused="works from 20:00 to 08:00 only"), "works from 20:00 to 08:00 only"),
        (told_to_pause(), "has been told to pause"),
        (quarantined(), "is in quarantine"),
        (node(slots=2, in_hand=2), "has no free slot"),
        (node(slots=1, prefetch=1, in_hand=2), "has no free slot"),
        (
            left_alone(),
            "did not answer a call or gave a job back, and is left alone for 2 s more",
        ),
    ],
)
def test_a_worker_that_cannot_take_a_job_says_why(worker: Node, reason: str) -> None:
    """In words that follow its name."""
    assert infeasibility(worker, ANY, NOW) == reason


def test_a_worker_fetches_ahead() -> None:
    """A job may wait at a worker whose slots are all busy, but not one of the last."""
    worker = node(slots=1, prefetch=1, in_hand=1)
    assert infeasibility(worker, ANY, NOW) is None
    assert infeasibility(worker, ANY, AT_THE_END) == "has no free slot"


def test_one_that_was_left_alone_is_tried_with_one_job() -> None:
    """When its time is over, and before it has shown what it can do."""
    worker = left_alone()
    later = Outlook(now=12.0)
    assert infeasibility(worker, ANY, later) is None
    worker.in_hand = node(in_hand=1).in_hand
    assert infeasibility(worker, ANY, later) == "has no free slot"


def test_small_jobs_come_in_batches() -> None:
    """A batch is begun when half of it is left, and then it is filled."""
    worker = node(slots=2, in_hand=4, milliseconds=10)  # 20 ms of work a slot
    worker.fill(horizon=100)
    assert infeasibility(worker, ANY, NOW) is None
    worker.milliseconds = 150  # 75 ms a slot: being filled
    worker.fill(horizon=100)
    assert infeasibility(worker, ANY, NOW) is None
    worker.milliseconds = 200
    worker.fill(horizon=100)
    assert infeasibility(worker, ANY, NOW) == "has no free slot"
    worker.milliseconds = 150  # Emptying: not yet worth a call.
    worker.fill(horizon=100)
    assert infeasibility(worker, ANY, NOW) == "has no free slot"


def test_an_express_job_has_a_place_of_its_own() -> None:
    """One on each worker, however full it is."""
    express = Demand(express=True)
    worker = node(slots=1, prefetch=1, in_hand=2)
    assert infeasibility(worker, express, NOW) is None
    worker.express_in_hand = 1
    assert infeasibility(worker, express, NOW) == "has no free slot"


def test_missing_tags_are_named() -> None:
    """All of them, in order, and none of those that are there."""
    demand = Demand(tags=frozenset({"gpu", "fast", "big"}))
    assert infeasibility(node(tags=frozenset({"fast"})), demand, NOW) == "lacks the tags big, gpu"
    assert infeasibility(node(tags=demand.tags - {"big"}), demand, NOW) == "lacks the tag big"
    assert infeasibility(node(tags=demand.tags | {"x"}), demand, NOW) is None


def test_no_more_memory_is_promised_than_there_is() -> None:
    """What was promised before counts, and what the machine's own workers occupy is theirs."""
    demand = Demand(memory=600 * MIB)
    assert infeasibility(node(promised=400 * MIB), demand, NOW) is None
    assert infeasibility(node(promised=500 * MIB), demand, NOW) == (
        "has 524 MiB of memory to promise, and the job is predicted to take 600 MiB"
    )
    worker = node(promised=300 * MIB, memory_available=700 * MIB)
    assert infeasibility(worker, demand, NOW) is not None
    worker.machine.occupied = 300 * MIB
    assert infeasibility(worker, demand, NOW) is None


def test_workers_of_one_machine_share_its_memory() -> None:
    """What is promised on one is not there for the other."""
    machine = Machine(name="m")
    node("a", machine=machine, promised=900 * MIB)
    other = node("b", machine=machine)
    reason = infeasibility(other, Demand(memory=200 * MIB), NOW)
    assert reason == "has 124 MiB of memory to promise, and the job is predicted to take 200 MiB"


def test_what_never_fits_is_told_apart() -> None:
    """From what does not fit now."""
    assert infeasibility(node(), Demand(memory=2 * GIB), NOW) == (
        "has 1024 MiB of memory altogether, and the job is predicted to take 2048 MiB"
    )


def test_a_machine_is_kept_free_for_one_job_alone() -> None:
    """That job may go there."""
    worker = node()
    worker.machine.kept_for = "big"
    assert infeasibility(worker, ANY, NOW, "big") is None
    assert infeasibility(worker, ANY, NOW, "small") == (
        "is kept free for a job that needs much memory"
    )


@pytest.mark.parametrize("use", [GpuUse.NEVER, GpuUse.PREFERRED])
def test_a_gpu_that_is_not_required_makes_nobody_infeasible(use: GpuUse) -> None:
    """With or without one."""
    for worker in (node(), node(gpu=0.5)):
        assert infeasibility(worker, Demand(gpu=use), NOW) is None


def test_a_required_gpu_has_to_be_there_with_its_memory() -> None:
    """Each is said."""
    demand = Demand(gpu=GpuUse.REQUIRED, gpu_memory=200 * MIB)
    assert infeasibility(node(), demand, NOW) == "has no GPU"
    assert infeasibility(node(gpu=0.0), demand, NOW) is None
    assert infeasibility(node(gpu=0.0, gpu_memory_free=100 * MIB), demand, NOW) == (
        "has 100 MiB of GPU memory free, and the job is predicted to take 200 MiB"
    )


def test_what_is_preferred_is_missed_by_tag() -> None:
    """And a GPU is spared for who can use it."""
    demand = Demand(prefer_tags=frozenset({"fast", "near"}))
    assert penalty(node(tags=frozenset({"fast", "near"})), demand) == 0
    assert penalty(node(tags=frozenset({"fast"})), demand) == 1
    assert penalty(node(gpu=0.0), demand) == 3
    liking = Demand(gpu=GpuUse.PREFERRED)
    assert penalty(node(gpu=0.0), liking) < penalty(node(), liking)
