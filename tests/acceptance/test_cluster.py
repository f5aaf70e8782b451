"""Machines that join with tokens over TLS, and are cut off when their token is revoked."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.pictures import picture
from tests.acceptance.system import ADMIN, Api, Process, dpip, environment
from tests.waiting import eventually

# Loopback addresses stand for machines.
HUB, CELLAR = "127.0.0.2", "127.0.0.3"


class Hub:
    """The first machine: ``dpip up`` with a certificate, and no worker of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.env = environment(directory / "data")
        made = dpip("certs", HUB, env=self.env, cwd=directory)
        assert made.returncode == 0, made.stderr
        self.authority = directory / "certs" / "ca.crt"
        self.process = Process(
            directory / "up.log",
            *("up", "--json", "--host", HUB, "--port", "0", "--controller-port", "0"),
            *("--workers", "0"),
            *(
                word if word.startswith("--") else str(directory / word)
                for word in made.stdout.split()
            ),
            env=self.env,
        ).until_it_says('"api"')
        ready = next(line for line in self.process.said.splitlines() if line.startswith("{"))
        self.ready: dict[str, str] = json.loads(ready)

    def join_token(self, name: str, *more: str) -> str:
        created = dpip("join-token", "create", name, *more, env=self.env)
        assert created.returncode == 0, created.stderr
        return created.stdout.strip()

    def worker(self, name: str, join_token: str) -> Process:
        """A worker on another machine: all it has is the token."""
        elsewhere = environment(self.directory / f"machine of {name}", DPIP_JOIN_TOKEN=join_token)
        return Process(
            self.directory / f"{name}.log",
            *("worker", "--controller", self.ready["controller"], "--worker-name", name),
            env=elsewhere,
        )

    @property
    def api(self) -> Api:
        api = Api(self.ready["api"])
        api.session.trust_env = False  # A variable of this machine would go first.
        api.session.verify = str(self.authority)
        return api.login()


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    hub = Hub(tmp_path_factory.mktemp("hub"))
    yield hub
    assert hub.process.stop() == 0


def test_machines_join_over_tls_and_work(hub: Hub) -> None:
    """With a token alone; pictures go up, through two of them, and down again, encrypted."""
    workers = [hub.worker(name, hub.join_token(name)) for name in ("attic", "shed")]
    try:
        for worker in workers:
            worker.until_it_says("joined")
        api = hub.api
        assert api.url.startswith("https://")
        workload_id = api.create(filter="blur", sigma="8")["workload_id"]
        for number in range(20):
            api.push(workload_id, picture(number, size=300))
        done = api.until_completed(workload_id)
        assert len(done["filtered_images"]) == 20
        assert {each["worker"] for each in api.results(workload_id)} == {"attic", "shed"}
        assert api.pull(done["filtered_images"][0])
    finally:
        assert [worker.stop() for worker in workers] == [0, 0]


def test_a_revoked_token_cuts_its_workers_off(hub: Hub) -> None:
    """They are lost, their jobs are done by others, and they are not let in again; those of
    other tokens go on.
    """
    revoked = hub.worker("revoked", hub.join_token("to-revoke")).until_it_says("joined")
    kept = hub.worker("kept", hub.join_token("to-keep"))
    try:
        kept.until_it_says("joined")
        assert "to-revoke" in dpip("join-token", "list", env=hub.env).stdout
        api = hub.api
        workload_id = api.create(filter="blur", sigma="8")["workload_id"]
        for number in range(40):
            api.push(workload_id, picture(number, size=400))
        assert dpip("join-token", "revoke", "to-revoke", env=hub.env).returncode == 0
        eventually(lambda: api.workers()["revoked"]["state"] == "lost", "the worker to be lost")
        revoked.until_it_says("not let in")
        done = api.until_completed(workload_id)
        assert (len(done["filtered_images"]), done["failed_images"]) == (40, [])
        assert api.workers()["revoked"]["state"] == "lost"
        assert api.workers()["kept"]["state"] == "alive"
        assert "to-revoke" not in dpip("join-token", "list", env=hub.env).stdout
        assert dpip("join-token", "revoke", "to-revoke", env=hub.env).returncode == 1
    finally:
        assert [worker.stop() for worker in (revoked, kept)] == [0, 0]


def test_a_rotated_token_lets_in_by_its_new_secret(hub: Hub) -> None:
    """And by its old one no more: that worker ends with code 1, and nothing is told it."""
    old = hub.join_token("to-rotate", "--expires", "24h")
    rotated = dpip("join-token", "rotate", "to-rotate", env=hub.env)
    stale = hub.worker("stale", old)
    fresh = hub.worker("fresh", rotated.stdout.strip()).until_it_says("joined")
    assert fresh.stop() == 0
    assert stale.popen.wait(timeout=60) == 1
    assert "does not accept these credentials" in stale.said
    assert "connection refused" in hub.process.said
    assert old.rpartition(".")[2] not in hub.process.said


def test_a_token_of_another_authority_is_told_so(hub: Hub) -> None:
    """A worker says nothing to a server that is not the one of its token."""
    other = hub.join_token("of-another").split(".")
    stranger = hub.worker("stranger", ".".join([other[0], "0" * 64, other[2]]))
    assert stranger.popen.wait(timeout=60) == 1
    assert "authority" in stranger.said
    assert "stranger" not in hub.process.said


def test_commands_and_the_sdk_verify_the_server(hub: Hub, tmp_path: Path) -> None:
    """With the authority they are told of, and not without it."""
    worker = hub.worker("of-run", hub.join_token("of-run")).until_it_says("joined")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a.png").write_bytes(picture(1))
    env = {**environment(tmp_path / "user"), "DPIP_USER": ADMIN[0], "DPIP_USER_PASSWORD": ADMIN[1]}
    run, torture = ("run", str(folder), "--out", str(tmp_path / "out")), ("torture", str(folder))
    try:
        for command in (torture, run):
            to_server = (*command, "--server", hub.ready["api"])
            refused = dpip(*to_server, env=env)
            assert refused.returncode == 1
            assert "certificate" in refused.stderr.lower()
            assert not (tmp_path / "out" / "a.png").exists()
            done = dpip(*to_server, "--tls-ca", str(hub.authority), env=env)
            assert done.returncode == 0, done.stdout + done.stderr
        assert (tmp_path / "out" / "a.png").exists()
        program = f"import dpip; dpip.Client({hub.ready['api']!r}).login(*{ADMIN!r})"
        by_variable = {**env, "DPIP_TLS_CA": str(hub.authority)}
        for variables, code in ((by_variable, 0), (env, 1)):
            sdk = subprocess.run(
                [sys.executable, "-c", program], env=variables, capture_output=True, check=False
            )
            assert sdk.returncode == code, sdk.stderr
    finally:
        assert worker.stop() == 0


def test_nothing_listens_beyond_this_machine_in_the_clear(tmp_path: Path) -> None:
    """Each part that listens says what to do, and leaves nothing running."""
    env = environment(tmp_path, DPIP_PORT="0", DPIP_CONTROLLER_PORT="0")
    for command in (("up", "--workers", "0"), ("controller",), ("api",)):
        refused = dpip(*command, "--host", "0.0.0.0", env=env)
        assert refused.returncode == 1
        assert "--insecure" in refused.stderr
