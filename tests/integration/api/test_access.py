"""Who may do what: every endpoint of the served document, asked by everybody."""

from typing import Any

import pytest
import requests

from dpip.model.ids import new_id
from dpip.model.user import Role
from tests.integration.api.system import ApiSession, System, picture

CALLERS = ("owner", "other", "administrator", "reader", "program", "worker", "nobody")
"""``program`` has a token of the owner's with scope read; ``reader`` is a read-only user."""

RULES: dict[tuple[str, str], tuple[int, ...]] = {
    ("GET", "/healthz"): (200, 200, 200, 200, 200, 200, 200),
    ("GET", "/readyz"): (200, 200, 200, 200, 200, 200, 200),
    ("POST", "/login"): (401, 401, 401, 401, 401, 401, 401),
    ("DELETE", "/logout"): (200, 200, 200, 200, 200, 403, 401),
    ("GET", "/status"): (200, 200, 200, 200, 200, 403, 401),
    ("GET", "/workers"): (200, 200, 200, 200, 200, 403, 401),
    ("POST", "/workers/{name}/pause"): (403, 403, 200, 403, 403, 403, 401),
    ("POST", "/workers/{name}/resume"): (403, 403, 200, 403, 403, 403, 401),
    ("POST", "/workers/{name}/drain"): (403, 403, 200, 403, 403, 403, 401),
    ("POST", "/tokens"): (201, 201, 201, 201, 403, 403, 401),
    ("GET", "/tokens"): (200, 200, 200, 200, 200, 403, 401),
    ("DELETE", "/tokens/{token_id}"): (200, 404, 200, 404, 403, 403, 401),
    ("POST", "/workloads"): (201, 201, 201, 403, 403, 403, 401),
    ("GET", "/workloads"): (200, 200, 200, 200, 200, 403, 401),
    ("GET", "/workloads/{workload_id}"): (200, 404, 200, 404, 200, 403, 401),
    ("GET", "/workloads/{workload_id}/results"): (200, 404, 200, 404, 200, 403, 401),
    ("DELETE", "/workloads/{workload_id}/results"): (200, 404, 200, 403, 403, 403, 401),
    ("POST", "/workloads/{workload_id}/retry"): (200, 404, 200, 403, 403, 403, 401),
    ("DELETE", "/workloads/{workload_id}"): (200, 404, 200, 403, 403, 403, 401),
    ("POST", "/images"): (201, 404, 201, 403, 403, 403, 401),
    ("GET", "/staging-area"): (404, 404, 404, 403, 403, 404, 401),
    ("POST", "/staged-results"): (403, 403, 403, 403, 403, 201, 401),
    ("POST", "/workloads/{workload_id}/staged"): (201, 404, 201, 403, 403, 403, 401),
    ("GET", "/images/{image_id}"): (200, 404, 200, 404, 200, 404, 401),
    ("GET", "/images/{image_id}/explain"): (200, 404, 200, 404, 200, 404, 401),
}
"""The status that each caller gets for what is the owner's, in the order of ``CALLERS``."""

SEE_NOTHING = ("other", "reader", "worker", "nobody")


class Cast:
    """Everybody, and what the owner has."""

    def __init__(self, system: System) -> None:
        self.sessions = {
            "owner": system.user(),
            "other": system.user(),
            "administrator": system.user(Role.ADMINISTRATOR),
            "reader": system.user(Role.READ_ONLY),
            "worker": system.worker()[1],
            "nobody": ApiSession(system.url),
        }
        self.url = system.url
        self._system = system

    def session(self, caller: str) -> ApiSession:
        if caller == "program":
            return ApiSession(self.url, self._new_token("read")["token"])
        return self.sessions[caller]

    def objects(self) -> dict[str, str]:
        """Fresh objects of the owner's, one of each kind that a path can name, and a worker."""
        owner = self.sessions["owner"]
        workload_id = owner.create_workload()
        return {
            "workload_id": workload_id,
            "image_id": owner.upload(workload_id),
            "token_id": self._new_token("write")["token_id"],
            "name": self._system.worker()[0],
        }

    def _new_token(self, scope: str) -> dict[str, Any]:
        answer = self.sessions["owner"].post("/tokens", json={"name": "program", "scope": scope})
        made: dict[str, Any] = answer.json()
        return made


@pytest.fixture(scope="module")
def cast(system: System) -> Cast:
    return Cast(system)


def ask(session: ApiSession, method: str, path: str, ids: dict[str, str]) -> requests.Response:
    body: dict[str, Any] = {}
    if (method, path) == ("POST", "/images"):
        form = {"workload_id": ids["workload_id"]}
        body = {"files": {"data": picture()}, "data": form}
    elif path == "/staged-results":
        fields: dict[str, Any] = dict.fromkeys(("name", "workload_id", "job_id", "sha256"), "x")
        body = {"json": {"results": [{**fields, "attempt": 1, "milliseconds": 1}]}}
    elif path.endswith("/staged"):
        body = {"json": {"pictures": [{"name": "x", "key": "x"}]}}
    elif (method, path) == ("POST", "/tokens"):
        body = {"json": {"name": "x", "scope": "read"}}
    elif (method, path) == ("DELETE", "/workloads/{workload_id}/results"):
        body = {"params": {"through": 1}}
    return session.request(method, path.format(**ids), **body)


def test_every_endpoint_has_a_rule(cast: Cast) -> None:
    """One that is added comes into the table above, or this fails."""
    paths = cast.sessions["owner"].get("/openapi.json").json()["paths"]
    assert {(method.upper(), path) for path in paths for method in paths[path]} == set(RULES)


@pytest.mark.parametrize("endpoint", RULES, ids=" ".join)
def test_everybody_gets_what_the_rule_says(
    system: System, cast: Cast, endpoint: tuple[str, str]
) -> None:
    """The owner's objects are asked for, afresh for each caller."""
    if endpoint == ("DELETE", "/logout"):
        cast = Cast(system)
    answers = {
        caller: ask(cast.session(caller), *endpoint, cast.objects()).status_code
        for caller in reversed(CALLERS)  # The owner last, who may end what the others ask with.
    }
    assert answers == dict(zip(CALLERS, RULES[endpoint], strict=True))


@pytest.mark.parametrize("caller", SEE_NOTHING)
@pytest.mark.parametrize("endpoint", [rule for rule in RULES if rule[1] != "/logout"], ids=" ".join)
def test_the_objects_of_others_look_like_missing_ones(
    cast: Cast, endpoint: tuple[str, str], caller: str
) -> None:
    """The same status and the same body but for the id; and no list has them."""
    session, ids = cast.session(caller), cast.objects()
    there = ask(session, *endpoint, ids)
    if "{" in endpoint[1] or endpoint == ("POST", "/images"):
        missing_ids = {name: new_id() for name in ids}
        missing = ask(session, *endpoint, missing_ids)
        assert there.status_code == missing.status_code
        text = missing.text
        for name, missing_id in missing_ids.items():
            text = text.replace(missing_id, ids[name])
        assert there.text == text
    else:
        of_the_owner = {ids[name] for name in ids if name != "name"}
        assert not [known for known in of_the_owner if known in there.text]
