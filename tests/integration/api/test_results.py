"""Results as they settle."""

import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor

from dpip.model.job import Failure, FailureCode
from dpip.ports.clock import SystemClock
from dpip.wire import subjects
from tests.integration.api.system import ApiSession, System, picture, wait_until


def finish(system: System, workload: str, image: str) -> tuple[str, str]:
    name, worker = system.worker()
    lease = system.lease(image, name)
    answer = worker.hand_in(workload, lease)
    assert answer.status_code == 201, answer.text
    return name, answer.json()["image_id"]


def fail(system: System, image: str) -> None:
    name, _ = system.worker()
    failure = Failure(code=FailureCode.DECODE_FAILED, reason="The picture is broken.")
    state = None
    while state != "failed":
        lease = system.lease(image, name)
        # So long ago that the delay until the next attempt is over.
        failed_at = SystemClock().now() - 3600
        state = system.do(system.datastore.fail(lease, failure, jitter=0.0, now=failed_at))


def test_results_come_in_the_order_in_which_they_settled(system: System, user: ApiSession) -> None:
    """Done and failed ones are told apart; a cursor leads through them in pages."""
    workload = user.create_workload()
    first, second, third = (user.upload(workload) for _ in range(3))
    worker, filtered = finish(system, workload, third)
    fail(system, first)
    finish(system, workload, second)

    page = user.get(f"/workloads/{workload}/results?limit=2").json()
    done, failed = page["results"]
    assert page["next"] == failed["position"] == 2
    assert done == {
        "position": 1,
        "image_id": third,
        "status": "done",
        "filtered_image_id": filtered,
        "filtered_format": "png",
        "filtered_sha256": hashlib.sha256(picture()).hexdigest(),
        "worker": worker,
        "milliseconds": 2.5,
        "notes": [],
        "code": None,
        "reason": None,
    }
    assert (failed["image_id"], failed["status"]) == (first, "failed")
    assert (failed["code"], failed["reason"]) == ("decode_failed", "The picture is broken.")
    rest = user.get(f"/workloads/{workload}/results?after=2&wait=0").json()
    assert [result["image_id"] for result in rest["results"]] == [second]
    assert user.get(f"/workloads/{workload}/results?after=3").json() == {"results": [], "next": 3}

    shown = user.get(f"/workloads/{workload}").json()
    assert shown["counts"] == {"pending": 0, "running": 0, "done": 2, "failed": 1}
    assert shown["filtered_images"][1] == filtered
    assert shown["failed_images"] == [
        {"image_id": first, "code": "decode_failed", "reason": "The picture is broken."}
    ]


def test_results_carry_their_notes(system: System, user: ApiSession) -> None:
    """Those that only a newer worker knows too, also in the explanation of the picture."""
    workload = user.create_workload()
    image = user.upload(workload)
    name, worker = system.worker()
    notes = "frames_dropped,tea_spilled"
    assert worker.hand_in(workload, system.lease(image, name), notes=notes).status_code == 201
    (result,) = user.get(f"/workloads/{workload}/results").json()["results"]
    assert result["notes"] == ["frames_dropped", "tea_spilled"]
    explanation = user.get(f"/images/{image}/explain").json()
    assert explanation["notes"] == ["frames_dropped", "tea_spilled"]
    assert any("other frames" in sentence for sentence in explanation["details"])


def test_a_wait_ends_with_the_first_result(system: System, user: ApiSession) -> None:
    """A long poll is answered by the upload of the result, long before its time is over."""
    workload = user.create_workload()
    image = user.upload(workload)
    with ThreadPoolExecutor() as executor:
        poll = executor.submit(user.get, f"/workloads/{workload}/results?wait=30")
        wait_until(lambda: system.somebody_waits_for(workload))
        _, filtered = finish(system, workload, image)
        (result,) = poll.result(29).json()["results"]
    assert result["filtered_image_id"] == filtered


def test_an_upload_and_a_result_are_told_on_the_bus(system: System, user: ApiSession) -> None:
    """The scheduler hears of a job to place, and whoever waits of one that has settled."""
    heard: list[str] = []
    all_heard = threading.Event()
    workload = user.create_workload()

    async def hear(subject: str, payload: bytes) -> None:
        heard.append(subject)
        if {subjects.more_jobs(workload), subjects.settled(workload)} <= set(heard):
            all_heard.set()

    bus = system.app.state.context.bus
    system.do(bus.subscribe(subjects.MORE_JOBS, hear))
    system.do(bus.subscribe(subjects.ALL_SETTLED, hear))
    finish(system, workload, user.upload(workload))
    assert all_heard.wait(30)
