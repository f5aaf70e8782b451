"""More to do than may be waiting."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.pictures import picture
from tests.acceptance.system import System


@pytest.fixture
def narrow_system(tmp_path: Path) -> Iterator[System]:
    """A system without a worker, where three pictures may wait."""
    system = System(tmp_path, workers=0, DPIP_LIMITS__PENDING_JOBS="3")
    yield system
    system.process.stop()


def test_uploads_are_put_off_until_there_is_room(narrow_system: System) -> None:
    """429 with ``Retry-After``, nothing kept; once a worker has made room they are taken."""
    api = narrow_system.api
    workload_id = api.create()["workload_id"]
    for number in range(3):
        api.push(workload_id, picture(number))
    refused = api.session.post(
        f"{api.url}/images", files={"data": picture(3)}, data={"workload_id": workload_id}
    )
    assert (refused.status_code, refused.json()["code"]) == (429, "too_busy")
    assert int(refused.headers["Retry-After"]) > 0
    assert api.workload(workload_id)["counts"]["pending"] == 3
    worker = narrow_system.worker("late")
    api.until_completed(workload_id)
    api.push(workload_id, picture(3))
    done = api.until_completed(workload_id)
    assert len(done["filtered_images"]) == 4
    worker.stop()
