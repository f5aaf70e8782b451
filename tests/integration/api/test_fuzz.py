"""Requests made up from the served OpenAPI document are answered as the document says.

``make fuzz`` makes 10,000 of them.
"""

import math
import os
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.generation import GenerationMode

from dpip.api.auth import new_token, token_hash
from dpip.model.user import Role
from dpip.ports.clock import SystemClock
from tests.integration.api.system import PASSWORD, ApiSession, System, picture

CASES = int(os.environ.get("FUZZ_CASES", "400"))
OPERATIONS = [
    ("POST", "/login"),
    ("DELETE", "/logout"),
    ("GET", "/status"),
    ("GET", "/workers"),
    ("POST", "/workers/{name}/pause"),
    ("POST", "/workers/{name}/resume"),
    ("POST", "/workers/{name}/drain"),
    ("GET", "/tokens"),
    ("POST", "/tokens"),
    ("DELETE", "/tokens/{token_id}"),
    ("DELETE", "/workloads/{workload_id}/results"),
    ("GET", "/workloads"),
    ("POST", "/workloads"),
    ("GET", "/workloads/{workload_id}"),
    ("DELETE", "/workloads/{workload_id}"),
    ("POST", "/workloads/{workload_id}/retry"),
    ("GET", "/workloads/{workload_id}/results"),
    ("POST", "/workloads/{workload_id}/staged"),
    ("GET", "/staging-area"),
    ("POST", "/staged-results"),
    ("POST", "/images"),
    ("GET", "/images/{image_id}"),
    ("GET", "/images/{image_id}/explain"),
    ("GET", "/healthz"),
    ("GET", "/readyz"),
]
WITHOUT_INPUT = {("DELETE", "/logout"), ("POST", "/login"), ("GET", "/healthz")}
WITHOUT_INPUT |= {("GET", "/readyz"), ("GET", "/status"), ("GET", "/tokens"), ("GET", "/workers")}
WITHOUT_INPUT |= {("GET", "/staging-area")}
CASES_OF_EACH = math.ceil(CASES / (len(OPERATIONS) - len(WITHOUT_INPUT)) / len(GenerationMode))
CALLERS = ("administrator", "user", "reader", "worker", "nobody")


class Fuzzed:
    """A system, its document, and things in it that a request can be about."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.owner = system.user()
        self.document: dict[str, Any] = self.owner.get("/openapi.json").json()
        self.schema = schemathesis.openapi.from_dict(self.document)
        self.statuses: Counter[str] = Counter()
        self.name = system.add_user()
        self.sessions = {
            "administrator": system.user(Role.ADMINISTRATOR),
            "user": self.owner,
            "reader": system.user(Role.READ_ONLY),
            "worker": system.worker()[1],
            "nobody": ApiSession(system.url, "nonsense"),
        }
        self.worker, _ = system.worker()
        self.workload = self.owner.create_workload()
        self.image = self.owner.upload(self.workload)

    def authorization(self, operation: tuple[str, str], caller: str) -> dict[str, str]:
        if operation == ("DELETE", "/logout") and caller not in ("worker", "nobody"):
            return {"Authorization": f"Bearer {self._token_to_end()}"}
        return {"Authorization": str(self.sessions[caller].headers["Authorization"])}

    def existing(self, method: str) -> dict[str, str]:
        """Ids of what the user has; what is to be removed is made for it."""
        if method != "DELETE":
            return {
                "workload_id": self.workload,
                "image_id": self.image,
                "token_id": "t",
                "name": self.worker,
            }
        made = self.owner.post("/tokens", json={"name": "fuzz"}).json()
        return {"workload_id": self.owner.create_workload(), "token_id": made["token_id"]}

    def _token_to_end(self) -> str:
        owner = self.system.do(self.system.datastore.user_named(self.name))
        assert owner
        token, now = new_token(), SystemClock().now()
        self.system.do(
            self.system.datastore.add_token(
                token_hash(token), user_id=owner.id, created_at=now, expires_at=now + 60
            )
        )
        return token


@pytest.fixture(scope="module")
def fuzzed(system: System, request: pytest.FixtureRequest) -> Iterator[Fuzzed]:
    fuzzed = Fuzzed(system)
    yield fuzzed
    capture = request.config.pluginmanager.get_plugin("capturemanager")
    assert capture
    with capture.global_and_fixture_disabled():
        answers = sorted(fuzzed.statuses.items())
        sys.stdout.write(f"\n{sum(fuzzed.statuses.values())} answers: {answers}\n")


def test_every_operation_is_tried(fuzzed: Fuzzed) -> None:
    """The table above has those of the document, and no other."""
    paths = fuzzed.document["paths"]
    found = {(method.upper(), path) for path in paths for method in paths[path]}
    assert found == set(OPERATIONS)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("operation", "mode"),
    [
        pytest.param(operation, mode, id=f"{' '.join(operation)} {mode}")
        for operation in OPERATIONS
        for mode in GenerationMode
        if mode is GenerationMode.POSITIVE or operation not in WITHOUT_INPUT
    ],
)
def test_answers_are_documented(
    fuzzed: Fuzzed, operation: tuple[str, str], mode: GenerationMode
) -> None:
    """None is in the 500s, and each has a status, a media type and a schema of the document."""
    method, path = operation
    described = fuzzed.schema[path][method]
    documented = described.definition.raw["responses"]

    @settings(
        max_examples=CASES_OF_EACH,
        deadline=None,
        database=None,
        derandomize="FUZZ_CASES" not in os.environ,
        suppress_health_check=list(HealthCheck),
    )
    @given(
        case=described.as_strategy(generation_mode=mode),
        caller=st.sampled_from(CALLERS),
        is_about_something=st.booleans(),
    )
    def ask(case: Any, caller: str, is_about_something: bool) -> None:
        if is_about_something:
            ids = fuzzed.existing(method)
            case.path_parameters = {
                name: ids.get(name, value) for name, value in (case.path_parameters or {}).items()
            }
            if path == "/images" and isinstance(case.body, dict):
                case.body = {**case.body, "workload_id": ids["workload_id"], "data": picture()}
        if case.query and _is_a_wait(case.query.get("wait")):
            case.query["wait"] = 0  # There is nothing to wait for.
        options: dict[str, Any] = {"headers": fuzzed.authorization(operation, caller)}
        if path == "/login":
            options = {"auth": (fuzzed.name, PASSWORD if is_about_something else caller)}
        answer = case.call(base_url=fuzzed.system.url, timeout=60, **options)
        fuzzed.statuses[str(answer.status_code)] += 1
        assert answer.status_code < 500, answer.text
        assert str(answer.status_code) in documented, (answer.status_code, answer.text)
        content = documented[str(answer.status_code)].get("content", {})
        if answer.content:
            media_type = answer.headers["content-type"][0].partition(";")[0]
            assert media_type in content, (answer.status_code, media_type)
        described.validate_response(answer)

    ask()


def _is_a_wait(value: object) -> bool:
    try:
        return 0 <= float(str(value)) <= 30
    except ValueError:
        return False
