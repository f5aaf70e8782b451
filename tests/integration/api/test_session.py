"""Login, logout, status and health over real HTTP."""

from datetime import UTC, datetime, timedelta

import pytest
import requests

from dpip.api.auth import new_token, token_hash
from dpip.model.user import Role
from dpip.ports.clock import SystemClock
from tests.integration.api.system import PASSWORD, SETTINGS, ApiSession, System


def test_a_login_gives_a_token_that_expires(system: System) -> None:
    """The answer names the user and when the token ends, and the token opens the API."""
    name = system.add_user()
    answer = requests.post(f"{system.url}/login", auth=(name, PASSWORD), timeout=60)
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert "server" not in answer.headers
    login = answer.json()
    assert login["user"] == name
    assert login["expires_at"].endswith("Z")
    left = datetime.fromisoformat(login["expires_at"]) - datetime.now(UTC)
    assert timedelta(0) < left <= timedelta(hours=SETTINGS.login_hours)
    assert ApiSession(system.url, login["token"]).get("/status").status_code == 200


@pytest.mark.parametrize("auth", [None, ("nobody", PASSWORD), ("admin", ""), ("a\0b", "x")])
def test_a_wrong_login_asks_for_basic(system: System, auth: tuple[str, str] | None) -> None:
    """Whatever is wrong, the answer is the same."""
    answer = requests.post(f"{system.url}/login", auth=auth, timeout=60)
    assert answer.status_code == 401
    assert answer.json()["code"] == "wrong_password"
    assert answer.headers["WWW-Authenticate"].startswith("Basic realm=")


def test_a_wrong_password_is_told_like_an_unknown_user(system: System) -> None:
    """The answers for a known and an unknown user are equal."""
    known = requests.post(f"{system.url}/login", auth=(system.add_user(), "wrong"), timeout=60)
    unknown = requests.post(f"{system.url}/login", auth=("nobody", "wrong"), timeout=60)
    assert known.status_code == unknown.status_code == 401
    assert known.json() == unknown.json()


def test_guesses_are_put_off(system: System) -> None:
    """After ten of them the right password has to wait too, and is told for how long."""
    name = system.add_user()
    for _ in range(10):
        assert requests.post(f"{system.url}/login", auth=(name, "x"), timeout=60).status_code == 401
    answer = requests.post(f"{system.url}/login", auth=(name, PASSWORD), timeout=60)
    assert answer.status_code == 429
    assert answer.json()["code"] == "too_many_requests"
    assert 0 < int(answer.headers["Retry-After"]) <= 60
    other = requests.post(f"{system.url}/login", auth=(system.add_user(), PASSWORD), timeout=60)
    assert other.status_code == 200


def test_logins_that_succeed_are_not_put_off(system: System) -> None:
    """Programs may log in more often than passwords may be guessed."""
    name = system.add_user()
    for _ in range(11):
        answer = requests.post(f"{system.url}/login", auth=(name, PASSWORD), timeout=60)
        assert answer.status_code == 200


def test_a_login_that_is_put_off_looks_nobody_up(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guessing on hashes no password and writes nothing."""
    name, looked_up = system.add_user(), []

    async def user_named(name: str) -> None:
        looked_up.append(name)

    monkeypatch.setattr(system.datastore, "user_named", user_named)
    for _ in range(12):
        answer = requests.post(f"{system.url}/login", auth=(name, "x"), timeout=60)
    assert answer.status_code == 429
    assert len(looked_up) == 10


def test_what_is_nobodys_password_is_not_hashed(system: System) -> None:
    """A password that is longer than any can be costs no more than its bytes."""
    name = system.add_user()
    for auth in ((name, "x" * 1025), ("n" * 101, PASSWORD)):
        for _ in range(20):
            answer = requests.post(f"{system.url}/login", auth=auth, timeout=60)
            assert answer.status_code == 401


def test_a_logout_ends_the_token_at_once(system: System) -> None:
    """The token is dead, and another token of the same user is not."""
    name = system.add_user()
    first, second = (
        ApiSession(
            system.url,
            requests.post(f"{system.url}/login", auth=(name, PASSWORD), timeout=60).json()["token"],
        )
        for _ in range(2)
    )
    assert first.delete("/logout").json()["logout_message"]
    assert first.get("/status").status_code == 401
    assert first.delete("/logout").status_code == 401
    assert second.get("/status").status_code == 200


def test_an_expired_token_opens_nothing(system: System) -> None:
    """A token ends at its time."""
    name = system.add_user()
    owner = system.do(system.datastore.user_named(name))
    assert owner
    token = new_token()
    ended = SystemClock().now() - 1
    system.do(
        system.datastore.add_token(
            token_hash(token), user_id=owner.id, created_at=0.0, expires_at=ended
        )
    )
    assert ApiSession(system.url, token).get("/status").status_code == 401


def test_the_status_shows_system_workloads_and_workers(system: System, user: ApiSession) -> None:
    """Active workloads of the caller, all workers, and the time are there."""
    worker, _ = system.worker()
    active = user.create_workload(workload_name="busy")
    user.upload(active)
    user.create_workload(workload_name="idle")
    status = user.get("/status").json()
    assert status["system_name"] == SETTINGS.system_name
    assert datetime.fromisoformat(status["server_time"]).tzinfo
    assert [workload["workload_id"] for workload in status["active_workloads"]] == [active]
    assert status["active_workloads"][0]["counts"]["pending"] == 1
    shown = next(each for each in status["workers"] if each["name"] == worker)
    assert shown["state"] == "alive"
    assert shown["tags"] == ["fast"]
    assert shown["memory"] == {"total": 8, "available": 4}
    assert shown["gpus"] == []
    assert shown["running_jobs"] == 1
    assert shown["last_seen"].endswith("Z")


def test_only_an_administrator_sees_the_workloads_of_others(system: System) -> None:
    """Active workloads of another user are shown to an administrator alone."""
    owner, other, admin = system.user(), system.user(), system.user(Role.ADMINISTRATOR)
    workload = owner.create_workload()
    owner.upload(workload)

    def active(session: ApiSession) -> list[str]:
        return [each["workload_id"] for each in session.get("/status").json()["active_workloads"]]

    assert workload in active(owner)
    assert workload in active(admin)
    assert workload not in active(other)


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_health_needs_no_token(system: System, path: str) -> None:
    """A probe is answered without authentication, one that wants no body too."""
    assert requests.get(system.url + path, timeout=60).json() == {"status": "ok"}
    probe = requests.head(system.url + path, timeout=60)
    assert probe.status_code == 200
    assert probe.content == b""


def test_browsers_are_kept_from_misusing_answers(system: System, user: ApiSession) -> None:
    """Whatever is answered: nothing is sniffed, framed or open to other origins, and no cookie is
    set.
    """
    origin = {"Origin": "https://elsewhere.example"}
    preflight = {**origin, "Access-Control-Request-Method": "POST"}
    image = user.upload(user.create_workload())
    for answer in (
        user.get("/status", headers=origin),
        user.get(f"/images/{image}", headers=origin),
        user.get("/nowhere", headers=origin),
        requests.get(f"{system.url}/status", headers=origin, timeout=60),
        requests.options(f"{system.url}/workloads", headers=preflight, timeout=60),
    ):
        headers = {name.lower() for name in answer.headers}
        assert not [name for name in headers if name.startswith("access-control-")]
        assert "set-cookie" not in headers
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


def test_the_openapi_document_names_every_endpoint(system: System, user: ApiSession) -> None:
    """Each path has its methods, its way to authenticate and its errors as problem documents."""
    assert requests.get(f"{system.url}/openapi.json", timeout=60).status_code == 401
    document = user.get("/openapi.json").json()
    operations = {
        (method.upper(), path): operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }
    assert set(operations) == {
        ("POST", "/login"),
        ("DELETE", "/logout"),
        ("GET", "/status"),
        ("GET", "/tokens"),
        ("POST", "/tokens"),
        ("DELETE", "/tokens/{token_id}"),
        ("GET", "/workloads"),
        ("POST", "/workloads"),
        ("GET", "/workloads/{workload_id}"),
        ("DELETE", "/workloads/{workload_id}"),
        ("POST", "/workloads/{workload_id}/retry"),
        ("GET", "/workloads/{workload_id}/results"),
        ("DELETE", "/workloads/{workload_id}/results"),
        ("POST", "/images"),
        ("GET", "/images/{image_id}"),
        ("GET", "/images/{image_id}/explain"),
        ("GET", "/staging-area"),
        ("POST", "/staged-results"),
        ("POST", "/workloads/{workload_id}/staged"),
        ("GET", "/workers"),
        ("POST", "/workers/{name}/pause"),
        ("POST", "/workers/{name}/resume"),
        ("POST", "/workers/{name}/drain"),
        ("GET", "/healthz"),
        ("GET", "/readyz"),
    }
    assert document["security"] == [{"bearer": []}]
    assert operations["POST", "/login"]["security"] == [{"basic": []}]
    assert operations["GET", "/healthz"]["security"] == []
    for operation in operations.values():
        assert "application/problem+json" in operation["responses"]["default"]["content"]
    assert "HTTPValidationError" not in document["components"]["schemas"]
    assert "401" in operations["GET", "/status"]["responses"]
    assert "application/json" not in operations["GET", "/images/{image_id}"]["responses"]["200"]
