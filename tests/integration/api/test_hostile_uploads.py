"""Pictures that were made to do harm, or have come to harm, sent to the API."""

import pytest

from dpip.cli.mutations import mutations
from tests.hostile import BOMBS, HOSTILE
from tests.integration.api.system import ApiSession, System, picture

MUTATIONS = 60
SEED = 7
SUFFIXES = (".png", ".jpg", ".webp", ".gif", ".tif", ".avif")


def outcome(user: ApiSession, workload: str, content: bytes) -> int:
    answer = user.post("/images", files={"data": content}, data={"workload_id": workload})
    if answer.status_code != 201:
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.json()["code"]
    return answer.status_code


def test_hostile_pictures_are_kept_or_refused(system: System, user: ApiSession) -> None:
    """None is answered with an error of the server, and a bomb is never kept."""
    workload = user.create_workload()
    outcomes = {name: outcome(user, workload, content) for name, content in HOSTILE.items()}
    assert set(outcomes.values()) <= {201, 413, 415, 422}
    assert {outcomes[name] for name in BOMBS} == {422}
    assert user.get("/healthz").status_code == 200


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_damaged_pictures_are_kept_or_refused(user: ApiSession, suffix: str) -> None:
    """Whatever has become of their bytes."""
    workload = user.create_workload()
    pictures = [picture(16, 16, suffix), picture(16, 16, ".png"), picture(16, 16, ".gif")]
    for content in mutations(pictures, MUTATIONS, SEED):
        assert outcome(user, workload, content) in {201, 415, 422}
    assert user.get("/healthz").status_code == 200
