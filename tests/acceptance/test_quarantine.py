"""A worker that keeps handing in other pictures than it should."""

from pathlib import Path

from tests.acceptance.pictures import picture
from tests.acceptance.system import Api, System, dpip
from tests.acceptance.test_workers import all_came_back, push_all, until_alive, who_did
from tests.waiting import eventually

LIAR = str(Path(__file__).with_name("lying_worker.py"))
PICTURES = 30


def test_a_lying_worker_is_quarantined_until_it_is_released(own_system: System) -> None:
    """The honest ones do all the work, whole and once; mended and released it joins by itself."""
    api = own_system.api
    broken = own_system.directory / "broken"
    broken.touch()
    for name in ("local-1", "local-2"):
        until_alive(api, name)
    liar = own_system.worker("liar", "--slots", "3", program=(LIAR,), BROKEN=str(broken))
    try:
        until_alive(api, "liar")
        workload_id = push_all(api, PICTURES)
        more = api.create()["workload_id"]

        def is_quarantined() -> bool:
            api.push(more, picture(0))  # The honest ones may have done all before it got three.
            return bool(api.workers()["liar"]["state"] == "quarantined")

        eventually(is_quarantined, "the liar to be quarantined")
        all_came_back(api, workload_id, PICTURES)
        assert set(who_did(api, workload_id)) <= {"local-1", "local-2"}
        liar.until_it_says("dpip worker release liar")

        broken.unlink()
        released = dpip("worker", "release", "liar", env=own_system.env)
        assert (released.returncode, released.stdout) == (0, "Released liar.\n")
        until_alive(api, "liar")
        eventually(lambda: "liar" in who_does_a_few(api), "the former liar to do its share")
    finally:
        assert liar.stop() == 0


def who_does_a_few(api: Api) -> set[str]:
    workload_id = push_all(api, 5)
    all_came_back(api, workload_id, 5)
    return set(who_did(api, workload_id))


def test_only_a_quarantined_worker_is_released(system: System) -> None:
    """One that is alive or unknown is not, and options have their place behind the command."""
    until_alive(system.api, "local-1")
    for name in ("local-1", "nobody"):
        refused = dpip("worker", "release", name, env=system.env)
        assert refused.returncode == 1
        assert refused.stderr == f"dpip: There is no quarantined worker '{name}'.\n"
    misplaced = dpip("worker", "--slots", "2", "release", "nobody", env=system.env)
    assert misplaced.returncode == 2
    assert "dpip worker release" in misplaced.stderr
