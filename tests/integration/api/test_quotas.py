"""What one user may take up, over real HTTP."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
import requests

from dpip.api.quotas import Quotas
from dpip.model.quota import QuotaLimits
from dpip.model.user import Role
from dpip.ports.clock import SystemClock
from tests.integration.api.system import ApiSession, System, picture
from tests.integration.api.test_bad_requests import check

BYTES = len(picture())


@contextmanager
def quotas(system: System, limits: QuotaLimits) -> Iterator[None]:
    """Bound the uploads to the system for the length of the block."""
    context = system.app.state.context
    before = context.quotas
    object.__setattr__(context, "quotas", Quotas(system.datastore, limits, SystemClock()))
    try:
        yield
    finally:
        object.__setattr__(context, "quotas", before)


def send(session: ApiSession, workload_id: str) -> requests.Response:
    files, fields = {"data": picture()}, {"workload_id": workload_id}
    return session.post("/images", files=files, data=fields)


def test_stored_bytes_are_bounded(system: System, user: ApiSession) -> None:
    """What is left is told, a removed workload makes room, and others have their own."""
    with quotas(system, QuotaLimits(stored_bytes=2 * BYTES + 1)):
        first, second = user.create_workload(), user.create_workload()
        user.upload(first)
        user.upload(second)
        before = system.files()
        document = check(send(user, first), 413, "quota_exceeded")
        assert document["limit"] == 2 * BYTES + 1
        assert document["left"] == 1
        assert document["setting"] == "quotas.stored_bytes"
        assert system.files() == before
        other = system.user()
        other.upload(other.create_workload())
        user.delete(f"/workloads/{second}")
        user.upload(first)


def test_nothing_is_left_to_who_has_stored_all(system: System, user: ApiSession) -> None:
    """It is said before the picture is read."""
    with quotas(system, QuotaLimits(stored_bytes=BYTES)):
        workload = user.create_workload()
        user.upload(workload)
        assert check(send(user, workload), 413, "quota_exceeded")["left"] == 0


def test_uploads_side_by_side_keep_the_bound(system: System, user: ApiSession) -> None:
    """What is on its way in counts as if it were stored."""
    with quotas(system, QuotaLimits(stored_bytes=3 * BYTES)), ThreadPoolExecutor(8) as executor:
        workload = user.create_workload()
        sessions = [ApiSession(user.url) for _ in range(8)]
        for session in sessions:
            session.headers.update(user.headers)
        answers = executor.map(lambda session: send(session, workload), sessions)
        statuses = [answer.status_code for answer in answers]
    assert set(statuses) <= {201, 413}
    assert 1 <= statuses.count(201) <= 3


def test_pending_jobs_are_bounded(system: System, user: ApiSession) -> None:
    """The refusal is for now, and ends when a job is leased."""
    with quotas(system, QuotaLimits(pending_jobs=1)):
        workload = user.create_workload()
        image = user.upload(workload)
        answer = send(user, workload)
        assert check(answer, 429, "too_busy")["setting"] == "quotas.pending_jobs"
        assert "Retry-After" in answer.headers
        system.lease(image, system.worker()[0])
        user.upload(workload)


def test_uploads_a_minute_are_bounded(system: System, user: ApiSession) -> None:
    """Of each user apart."""
    with quotas(system, QuotaLimits(uploads_a_minute=2)):
        workload = user.create_workload()
        for _ in range(2):
            user.upload(workload)
        answer = send(user, workload)
        assert check(answer, 429, "too_many_requests")["limit"] == 2
        assert 0 < int(answer.headers["Retry-After"]) <= 60
        other = system.user()
        other.upload(other.create_workload())


@pytest.mark.parametrize(
    "limits",
    [QuotaLimits(stored_bytes=1), QuotaLimits(pending_jobs=1), QuotaLimits(uploads_a_minute=1)],
)
def test_administrators_are_not_bound(system: System, limits: QuotaLimits) -> None:
    """They may have to act for others."""
    admin = system.user(Role.ADMINISTRATOR)
    with quotas(system, limits):
        workload = admin.create_workload()
        for _ in range(3):
            admin.upload(workload)
