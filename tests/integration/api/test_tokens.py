"""Personal tokens over real HTTP."""

from typing import Any

import pytest

from dpip.model.user import Role
from tests.integration.api.system import ApiSession, System, picture
from tests.integration.api.test_bad_requests import check


def make(session: ApiSession, **fields: object) -> dict[str, Any]:
    answer = session.post("/tokens", json={"name": "laptop", **fields})
    assert answer.status_code == 201, answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    made: dict[str, Any] = answer.json()
    return made


def test_a_personal_token_opens_the_api(system: System, user: ApiSession) -> None:
    """It is shown once, works until it is revoked, and then opens nothing."""
    made = make(user)
    program = ApiSession(system.url, made["token"])
    program.upload(program.create_workload())
    shown = user.get("/tokens").json()["tokens"]
    assert [each["token_id"] for each in shown] == [made["token_id"]]
    assert made["token"] not in str(shown)
    assert user.delete(f"/tokens/{made['token_id']}").json() == {"token_id": made["token_id"]}
    check(program.get("/status"), 401, "unauthenticated")
    check(user.delete(f"/tokens/{made['token_id']}"), 404, "not_found")


def test_its_secret_is_not_in_the_database(system: System, user: ApiSession) -> None:
    """Whoever steals the files of the database holds no token."""
    secret = make(user)["token"]
    assert secret.startswith("dpip_")
    for file in system.data_dir.glob("dpip.sqlite3*"):
        content = file.read_bytes()
        assert secret.encode() not in content
        assert secret.removeprefix("dpip_").encode() not in content


def test_a_token_to_read_with_changes_nothing(system: System, user: ApiSession) -> None:
    """It looks and downloads, and is refused everything else with a code."""
    workload = user.create_workload()
    image = user.upload(workload)
    reader = ApiSession(system.url, make(user, scope="read")["token"])
    assert reader.get(f"/images/{image}").status_code == 200
    assert reader.get(f"/workloads/{workload}").status_code == 200
    check(reader.post("/workloads"), 403, "forbidden")
    files, fields = {"data": picture()}, {"workload_id": workload}
    check(reader.post("/images", files=files, data=fields), 403, "forbidden")
    check(reader.post(f"/workloads/{workload}/retry"), 403, "forbidden")
    check(reader.delete(f"/workloads/{workload}"), 403, "forbidden")


def test_a_read_only_user_changes_nothing_either(system: System) -> None:
    """Their role is the bound, whatever token they make."""
    reader = system.user(Role.READ_ONLY)
    check(reader.post("/workloads"), 403, "forbidden")
    check(reader.post("/tokens", json={"name": "x", "scope": "write"}), 422, "invalid_value")
    assert make(reader, scope="read")["scope"] == "read"


def test_an_administrators_token_sees_all_only_with_that_scope(system: System) -> None:
    """With less, somebody else's objects look like missing ones."""
    owner, admin = system.user(), system.user(Role.ADMINISTRATOR)
    workload = owner.create_workload()
    for scope, status in (("write", 404), ("admin", 200)):
        program = ApiSession(system.url, make(admin, scope=scope)["token"])
        assert program.get(f"/workloads/{workload}").status_code == status


def test_a_personal_token_makes_and_revokes_none(system: System, user: ApiSession) -> None:
    """One that was found is not made into one that lasts; it may look, and end itself."""
    made = make(user)
    program = ApiSession(system.url, made["token"])
    check(program.post("/tokens", json={"name": "more"}), 403, "forbidden")
    check(program.delete(f"/tokens/{made['token_id']}"), 403, "forbidden")
    assert len(program.get("/tokens").json()["tokens"]) == 1
    assert program.delete("/logout").status_code == 200
    check(program.get("/tokens"), 401, "unauthenticated")


def test_tokens_of_others_look_like_missing_ones(system: System, user: ApiSession) -> None:
    """An administrator sees and revokes them."""
    admin, other = system.user(Role.ADMINISTRATOR), system.user()
    token_id = make(user)["token_id"]
    check(other.delete(f"/tokens/{token_id}"), 404, "not_found")
    assert other.get("/tokens").json()["tokens"] == []
    assert token_id in [each["token_id"] for each in admin.get("/tokens").json()["tokens"]]
    assert admin.delete(f"/tokens/{token_id}").status_code == 200


def test_the_last_use_is_kept_in_one_write(system: System, user: ApiSession) -> None:
    """A use is noted in memory, and the datastore hears of many at once."""
    made = make(user)
    program = ApiSession(system.url, made["token"])
    for _ in range(3):
        program.get("/status")

    def last_used() -> object:
        shown = user.get("/tokens").json()["tokens"]
        return next(each for each in shown if each["token_id"] == made["token_id"])["last_used_at"]

    assert last_used() is None
    system.do(system.app.state.context.token_use.write())
    assert last_used() is not None


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "malformed_request"),
        (b"{", 400, "malformed_request"),
        (b"[]", 422, "invalid_value"),
        (b"{}", 422, "invalid_value"),
        (b'{"name": ""}', 422, "invalid_value"),
        (b'{"name": "a\\nb"}', 422, "invalid_value"),
        (b'{"name": "x", "scope": "root"}', 422, "invalid_value"),
        (b'{"name": "x", "scope": "admin"}', 422, "invalid_value"),
        (b'{"name": "x", "days": 0}', 422, "invalid_value"),
        (b'{"name": "x", "days": 3651}', 422, "invalid_value"),
        (b'{"name": "x", "days": 1.5}', 422, "invalid_value"),
        (b'{"name": "x", "user": "admin"}', 422, "invalid_value"),
        (70_000 * b" ", 413, "too_large"),
    ],
)
def test_a_bad_token_is_refused(user: ApiSession, body: bytes, status: int, code: str) -> None:
    """Nothing is made, and the field is named."""
    check(user.post("/tokens", data=body), status, code)
    assert user.get("/tokens").json()["tokens"] == []
