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


def test_png_files_are_compressed_as_the_workload_says(user: ApiSession) -> None:
    """In a form or as JSON, and by the fastest level if it does not."""
    assert user.post("/workloads").json()["png_compression"] == 1
    assert user.post("/workloads", json={"png_compression": 6}).json()["png_compression"] == 6
    assert user.post("/workloads", data={"png_compression": "9"}).json()["png_compression"] == 9


@pytest.mark.parametrize(
    "options",
    [
        {
            "json": {
                "tags": ["fast", "near"],
                "prefer_tags": ["new"],
                "gpu": "preferred",
                "priority": -3,
                "weight": 7,
                "deadline": "2030-01-31T19:00:00+01:00",
            }
        },
        {
            "data": {
                "tags": "fast,near",
                "prefer_tags": "new",
                "gpu": "preferred",
                "priority": "-3",
                "weight": "7",
                "deadline": "2030-01-31T19:00:00+01:00",
            }
        },
    ],
    ids=["json", "urlencoded"],
)
def test_what_a_workload_asks_for_is_shown(user: ApiSession, options: Any) -> None:
    """As it was asked for, in its own answer and in lists; times are in UTC."""
    created = user.post("/workloads", **options).json()
    (listed,) = user.get("/workloads").json()["workloads"]
    shown = user.get(f"/workloads/{created['workload_id']}").json()
    for workload in (created, listed, shown):
        assert workload["tags"] == ["fast", "near"]
        assert workload["prefer_tags"] == ["new"]
        assert (workload["gpu"], workload["priority"], workload["weight"]) == ("preferred", -3, 7)
        assert workload["deadline"] == "2030-01-31T18:00:00Z"


def test_a_workload_that_asks_for_nothing_shows_that(user: ApiSession) -> None:
    """No tags, the middle priority, the least weight, no deadline, no GPU."""
    workload = user.post("/workloads").json()
    assert workload["tags"] == workload["prefer_tags"] == []
    assert (workload["gpu"], workload["priority"], workload["weight"]) == ("never", 0, 1)
    assert workload["deadline"] is None


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("priority", 11, "from -10 to 10"),
        ("weight", 0, "from 1 to 100"),
        ("gpu", "maybe", "never, preferred, required"),
        ("tags", ["x" * 65], "1 to 64"),
        ("deadline", "2020-01-01T00:00:00Z", "still to come"),
        ("deadline", 60, "RFC 3339"),
    ],
)
def test_what_cannot_be_asked_for_is_refused(
    user: ApiSession, field: str, value: object, allowed: str
) -> None:
    """The problem names the field, its value and its range; there is no workload."""
    answer = user.post("/workloads", json={field: value})
    assert answer.status_code == 422
    problem = answer.json()
    assert (problem["code"], problem["field"]) == ("invalid_value", field)
    assert problem["value"] == value
    assert allowed in problem["detail"]
    assert user.get("/workloads").json()["workloads"] == []


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
