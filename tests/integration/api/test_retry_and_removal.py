"""Failed images tried again, workloads removed, and uploads repeated."""

import pytest

from dpip.model.ids import new_id
from dpip.model.user import Role
from tests.integration.api.system import ApiSession, System, picture
from tests.integration.api.test_results import fail, finish


def test_failed_images_are_tried_again(system: System, user: ApiSession) -> None:
    """They are pending, and settle as if nothing had been."""
    workload = user.create_workload()
    image = user.upload(workload)
    fail(system, image)
    answer = user.post(f"/workloads/{workload}/retry")
    assert answer.status_code == 200
    assert answer.json()["counts"] == {"pending": 1, "running": 0, "done": 0, "failed": 0}
    assert answer.json()["status"] == "running"
    _, filtered = finish(system, workload, image)
    assert user.get(f"/workloads/{workload}").json()["filtered_images"] == [filtered]


def test_a_removed_workload_is_gone_with_its_files(system: System, user: ApiSession) -> None:
    """Originals and results; a neighbour of the same name keeps its own."""
    workload, neighbour = (user.create_workload(workload_name="twins") for _ in range(2))
    first, second = user.upload(workload), user.upload(workload)
    kept = user.upload(neighbour)
    _, filtered = finish(system, workload, first)
    answer = user.delete(f"/workloads/{workload}")
    assert answer.status_code == 200
    assert answer.json() == {"workload_id": workload, "images": 2}
    for path in [f"/workloads/{workload}", *(f"/images/{i}" for i in (first, second, filtered))]:
        assert user.get(path).status_code == 404
    assert not [path for path in system.files() if workload in path.parts]
    assert user.get(f"/images/{kept}").content == picture()
    assert user.delete(f"/workloads/{workload}").status_code == 404
    form = {"workload_id": workload}
    assert user.post("/images", files={"data": picture()}, data=form).status_code == 404


def test_results_are_removed_up_to_a_position(system: System, user: ApiSession) -> None:
    """They are gone with their originals, rows and files; the workload goes on."""
    workload = user.create_workload()
    first, second, third = (user.upload(workload) for _ in range(3))
    _, filtered = finish(system, workload, first)
    fail(system, second)
    answer = user.delete(f"/workloads/{workload}/results", params={"through": 2})
    assert (answer.status_code, answer.json()) == (200, {"workload_id": workload, "images": 2})
    for image in (first, second, filtered):
        assert user.get(f"/images/{image}").status_code == 404
    assert [path.stem for path in system.files() if workload in path.parts] == [third]
    _, last = finish(system, workload, third)
    results = user.get(f"/workloads/{workload}/results").json()["results"]
    assert [result["filtered_image_id"] for result in results] == [last]


def test_the_result_of_a_removed_workload_is_refused(system: System, user: ApiSession) -> None:
    """Its worker is told that the attempt is stale, and no file stays."""
    workload = user.create_workload()
    image = user.upload(workload)
    name, worker = system.worker()
    lease = system.lease(image, name)
    user.delete(f"/workloads/{workload}")
    answer = worker.hand_in(workload, lease)
    assert (answer.status_code, answer.json()["code"]) == (409, "stale_attempt")
    assert not [path for path in system.files() if workload in path.parts]


@pytest.mark.parametrize(("method", "path"), [("POST", "/retry"), ("DELETE", "")])
def test_only_those_who_see_a_workload_may(
    system: System, user: ApiSession, method: str, path: str
) -> None:
    """For others it does not exist; an administrator may."""
    workload = user.create_workload()
    assert system.user().request(method, f"/workloads/{workload}{path}").status_code == 404
    assert user.get(f"/workloads/{workload}").status_code == 200
    admin = system.user(Role.ADMINISTRATOR)
    assert admin.request(method, f"/workloads/{workload}{path}").status_code == 200


def test_a_repeated_upload_is_one_image(system: System, user: ApiSession) -> None:
    """With the same key and the same bytes; the file is there once."""
    workload = user.create_workload()
    headers = {"Idempotency-Key": new_id()}

    def upload(content: bytes) -> tuple[int, dict[str, str]]:
        form = {"workload_id": workload}
        answer = user.post("/images", files={"data": content}, data=form, headers=headers)
        return answer.status_code, answer.json()

    status, first = upload(picture())
    assert status == 201
    assert upload(picture()) == (201, first)
    assert len([path for path in system.files() if workload in path.parts]) == 1
    assert user.get(f"/workloads/{workload}").json()["counts"]["pending"] == 1
    status, problem = upload(picture(5))
    assert (status, problem["code"], problem["field"]) == (422, "invalid_value", "Idempotency-Key")


def test_a_key_has_a_length(user: ApiSession) -> None:
    """Of at most 200 characters."""
    form = {"workload_id": user.create_workload()}
    headers = {"Idempotency-Key": "x" * 201}
    answer = user.post("/images", files={"data": picture()}, data=form, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_value")
