"""Workloads over real HTTP."""

from typing import Any

import pytest

from dpip.model.user import Role
from tests.integration.api.system import ApiSession, System


@pytest.mark.parametrize(
    "options",
    [
        {"json": {"filter": "blur", "workload_name": "holidays", "sigma": 5}},
        {"data": {"filter": "blur", "workload_name": "holidays", "sigma": "5"}},
        {
            "files": {
                "filter": (None, "blur"),
                "workload_name": (None, "holidays"),
                "sigma": (None, "5"),
            }
        },
    ],
    ids=["json", "urlencoded", "multipart"],
)
def test_a_workload_is_created_from_json_or_form(user: ApiSession, options: Any) -> None:
    """Filter, name and the filter's parameters are taken from any of the three bodies."""
    answer = user.post("/workloads", **options)
    assert answer.status_code == 201
    workload = answer.json()
    assert answer.headers["Location"] == f"/workloads/{workload['workload_id']}"
    assert workload["filter"].startswith("blur")
    assert "5" in str(workload["pipeline"])
    assert workload["workload_name"] == "holidays"
    assert workload["status"] == "scheduling"
    assert workload["running_jobs"] == 0
    assert workload["filtered_images"] == workload["failed_images"] == []
    assert user.get(answer.headers["Location"]).json() == workload


def test_metadata_is_kept_if_the_workload_says_so(user: ApiSession) -> None:
    """The answer tells, beside the steps of the pipeline."""
    for wanted in (True, False):
        answer = user.post("/workloads", json={"keep_metadata": wanted}).json()
        assert answer["keep_metadata"] is wanted
        assert answer["pipeline"] == [{"filter": "grayscale"}]


def test_no_body_means_grayscale_and_a_name(user: ApiSession) -> None:
    """Both fields are optional, and so is the body."""
    first, second = user.post("/workloads").json(), user.post("/workloads", json={}).json()
    assert first["filter"] == second["filter"] == "grayscale"
    assert first["workload_name"] != second["workload_name"]


def test_the_same_name_is_another_workload(user: ApiSession) -> None:
    """A name may be used again."""
    assert user.create_workload(workload_name="a") != user.create_workload(workload_name="a")


def test_workloads_are_listed_newest_first_in_pages(user: ApiSession) -> None:
    """Each page names where the next one begins, and the last page none."""
    created = [user.create_workload(workload_name=str(number)) for number in range(5)]
    listed, cursor = [], None
    for expected in (2, 2, 1):
        page = user.get("/workloads", params={"limit": 2, "before": cursor}).json()
        assert len(page["workloads"]) == expected
        assert "filtered_images" not in page["workloads"][0]
        listed += [workload["workload_id"] for workload in page["workloads"]]
        cursor = page["next"]
    assert listed == created[::-1]
    assert cursor is None


def test_a_workload_of_another_looks_like_none(system: System, user: ApiSession) -> None:
    """Only its owner and administrators see a workload; for others it does not exist."""
    workload_id = user.create_workload()
    other, admin = system.user(), system.user(Role.ADMINISTRATOR)
    for path in (f"/workloads/{workload_id}", f"/workloads/{workload_id}/results"):
        assert admin.get(path).status_code == 200
        theirs, missing = other.get(path), other.get(path.replace(workload_id, "0" * 26))
        assert theirs.status_code == missing.status_code == 404
        assert theirs.json()["detail"].replace(workload_id, "") == missing.json()["detail"].replace(
            "0" * 26, ""
        )
    assert other.get("/workloads").json() == {"workloads": [], "next": None}
    assert workload_id in admin.get("/workloads?limit=200").text


@pytest.mark.parametrize("name", ["x", "x" * 200, "Ferien ä 🏖", "../../etc", "a b"])
def test_a_name_may_be_almost_anything(user: ApiSession, name: str) -> None:
    """Up to 200 characters of any script."""
    answer = user.post("/workloads", json={"workload_name": name})
    assert answer.status_code == 201
    assert answer.json()["workload_name"] == name
