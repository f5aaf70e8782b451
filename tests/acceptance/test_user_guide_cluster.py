"""The user guide's way from one machine to three, walked command by command.

Loopback addresses stand for the machines, a directory each for their disks.
"""

import re
import shlex
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.acceptance.apart import free_port
from tests.acceptance.pictures import picture
from tests.acceptance.system import ADMIN, Api, Process, dpip, environment
from tests.waiting import eventually

GUIDE = Path(__file__).parents[2].joinpath("user-guide.md").read_text()
HUB = "127.0.0.2"


def commands() -> list[list[str]]:
    """All of the chapter, as words."""
    chapter = GUIDE.split("### From one machine to three\n")[1].split("\n## ")[0]
    blocks = re.findall(r"^```bash\n(.*?)^```$", chapter, flags=re.MULTILINE | re.DOTALL)
    return [shlex.split(line) for block in blocks for line in block.splitlines()]


class Machines:
    """``hub``, ``cellar``, ``attic``, and a user's."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self._directory = directory
        self._stack = stack
        self.ports = {"8080": str(free_port()), "4222": str(free_port())}
        self.tokens: dict[str, str] = {}
        self.workers: dict[str, Process] = {}
        for name in ("hub", "cellar", "attic", "user"):
            (directory / name).mkdir()

    def env(self, machine: str, **more: str) -> dict[str, str]:
        return environment(self._directory / machine / "data", **more)

    def translated(self, word: str) -> str:
        """A word of the guide, with the addresses that stand for its machines."""
        word = re.sub(r"\bhub\b", HUB, word.replace("0.0.0.0", HUB))
        return re.sub(r":(8080|4222)$", lambda port: f":{self.ports[port[1]]}", word)

    def run(self, words: list[str]) -> None:
        """Carry a command of the guide out where the guide says."""
        assert words[0] == "dpip"
        words = [self.translated(word) for word in words[1:]]
        match words:
            case ["up", *_]:
                self._start_hub(words)
            case ["join-token", action, *rest]:
                said = self._finish("hub", words)
                if action in ("create", "rotate"):
                    self.tokens[rest[0]] = said.strip()
            case ["worker", *_]:
                self._start_worker(words)
            case ["run", *_]:
                user = self._directory / "user"
                (user / "Pictures").mkdir()
                for number in range(8):
                    (user / "Pictures" / f"{number}.png").write_bytes(picture(number))
                authority = self._directory / "hub" / "certs" / "ca.crt"
                (user / "ca.crt").write_bytes(authority.read_bytes())
                self._finish("user", words, DPIP_USER_PASSWORD=ADMIN[1])
            case _:
                self._finish("hub", words)

    def _start_hub(self, words: list[str]) -> None:
        ports = {"DPIP_PORT": self.ports["8080"], "DPIP_CONTROLLER_PORT": self.ports["4222"]}
        self._start("hub", words, **ports).until_it_says("Ready")

    def _start_worker(self, words: list[str]) -> None:
        machine = words[words.index("--worker-name") + 1].removesuffix("-1")
        worker = self._start(machine, words, DPIP_JOIN_TOKEN=self.tokens[machine])
        self.workers[machine] = worker.until_it_says("joined")

    def _start(self, machine: str, words: list[str], **more: str) -> Process:
        place = self._directory / machine
        process = Process(place / "log", *words, env=self.env(machine, **more), cwd=place)
        self._stack.callback(process.stop)
        return process

    def _finish(self, machine: str, words: list[str], **more: str) -> str:
        done = dpip(*words, env=self.env(machine, **more), cwd=self._directory / machine)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def filtered(self) -> int:
        return len(list((self._directory / "user" / "filtered").glob("*.png")))

    def states(self) -> dict[str, str]:
        api = Api(f"https://{HUB}:{self.ports['8080']}")
        api.session.trust_env = False
        api.session.verify = str(self._directory / "hub" / "certs" / "ca.crt")
        return {name: each["state"] for name, each in api.login().workers().items()}


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[Machines]:
    with ExitStack() as stack:
        yield Machines(tmp_path, stack)


def test_the_way_from_one_machine_to_three(machines: Machines) -> None:
    """Each command does what the chapter says, in its order, and at the end the machine whose
    token was revoked is out, and the one whose token has a new secret waits for it.
    """
    walked = commands()
    assert [words[1] for words in walked].count("worker") == 2
    for words in walked:
        machines.run(words)
    assert machines.filtered() == 8
    for machine in ("cellar", "attic"):
        machines.workers[machine].until_it_says("not let in")
    eventually(
        lambda: {machines.states()[f"{name}-1"] for name in ("cellar", "attic")} == {"lost"},
        "both to be cut off",
    )
    assert machines.states()["local-1"] == "alive"
