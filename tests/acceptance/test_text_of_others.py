"""No text of others steers the terminal, whichever command shows it."""

import asyncio
import multiprocessing
import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.core
import typer.main
from msgspec.structs import replace

from dpip.cli.main import app, main
from dpip.controller.datastore import SqlDatastore
from dpip.data_directory import DataDirectory
from dpip.filters.pipeline import encode_pipeline, parse_pipeline
from dpip.model.cost import Cost
from dpip.model.join_token import JoinToken
from dpip.model.user import PersonalToken, Scope
from dpip.scheduler.prediction import CostModel
from tests.acceptance.pictures import picture
from tests.acceptance.system import dpip, environment
from tests.contract.builders import HEADER, NOW, build_user, build_worker
from tests.nats import PATIENCE
from tests.unit.client.stub_api import EXPLANATION, StubApi, serving

HOSTILE = "ä\x1b[31m\x1b]0;t\x07\x9b2J\x7f\u202e\u2066\u200b\u2028[red]\r\nforged\tx"
"""Escape sequences of both kinds, what turns directions, what nobody sees, markup, lines."""

FILE = f"{HOSTILE}\udcff.png"
UNSAFE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u2028\u202e\u2066\udc80-\udcff]")

PICTURES, SERVER = "PICTURES", "SERVER"
"""Of an argument: the folder and the server in which hostile text is."""

CASES: dict[str, list[list[str]]] = {
    "run": [
        [PICTURES, "--out", f"out{HOSTILE}", "--server", SERVER],
        [PICTURES, "--out", f"out{HOSTILE}", "--server", SERVER, "--json"],
        [f"missing{FILE}", "--out", "out"],
        [PICTURES, "--out", "out", f"--{HOSTILE}"],
        [PICTURES, "--out", "out", "--gpu", HOSTILE],
    ],
    "predict": [
        [f"{PICTURES}/{FILE}", f"{PICTURES}/bad{FILE}"],
        [f"{PICTURES}/{FILE}", f"{PICTURES}/bad{FILE}", "--json"],
        [HOSTILE],
    ],
    "explain": [
        ["i0", "--server", SERVER],
        ["i0", "--server", SERVER, "--json"],
        [HOSTILE, "--server", SERVER],
    ],
    "up": [["--data-dir", f"{PICTURES}/{FILE}"], ["--host", HOSTILE, "--port", "0"]],
    "controller": [["--data-dir", f"{PICTURES}/{FILE}"], ["--nats-url", HOSTILE]],
    "scheduler": [["--data-dir", f"{PICTURES}/{FILE}"], ["--database-url", HOSTILE]],
    "api": [["--data-dir", f"{PICTURES}/{FILE}"], ["--tls-cert", HOSTILE]],
    "worker": [["--worker-name", HOSTILE], ["--tags", HOSTILE], ["--controller", HOSTILE]],
    "worker release": [[HOSTILE]],
    "worker pause": [[HOSTILE]],
    "worker resume": [[HOSTILE]],
    "worker drain": [[HOSTILE]],
    "user add": [[HOSTILE]],
    "user list": [[]],
    "user passwd": [[HOSTILE]],
    "user weight": [[HOSTILE, "3"], [HOSTILE, HOSTILE]],
    "user remove": [[f"{HOSTILE}2"], [f"no{HOSTILE}"]],
    "token create": [[HOSTILE, "--name", "n"], [HOSTILE, "--name", HOSTILE]],
    "token list": [[]],
    "token revoke": [[HOSTILE]],
    "join-token create": [[HOSTILE]],
    "join-token list": [[]],
    "join-token rotate": [[HOSTILE]],
    "join-token revoke": [[HOSTILE], [f"no{HOSTILE}"]],
    "store adopt": [["--data-dir", f"new{HOSTILE}"], []],
    "store check": [["--data-dir", f"new{HOSTILE}"], [], ["--json"], ["--repair"]],
    "certs": [[HOSTILE], ["localhost", "--out", f"certs{HOSTILE}"]],
    "bench": [[f"missing{FILE}"], ["--mix", HOSTILE]],
    "chaos": [[f"missing{FILE}"]],
    "torture": [[f"missing{FILE}"], [PICTURES, "--server", SERVER]],
    "simulate": [["--policy", HOSTILE]],
    "config": [[], ["--json"]],
    "nats-config": [["--data-dir", f"new{HOSTILE}"], ["--tls-cert", HOSTILE]],
}


_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["dpip.compose", "dpip.controller.datastore", __name__])


def commands_of(command: object, name: str = "") -> Iterator[str]:
    if isinstance(command, typer.core.TyperGroup):
        if name == "worker":
            yield name
        for word, inner in command.commands.items():
            yield from commands_of(inner, f"{name} {word}".strip())
    else:
        yield name


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of pictures whose names are hostile, one of them no picture."""
    folder = tmp_path_factory.mktemp("pictures") / HOSTILE
    folder.mkdir()
    (folder / FILE).write_bytes(picture(1))
    (folder / f"bad{FILE}").write_bytes(b"bad")
    (folder / f"notes.{HOSTILE}").touch()
    return folder


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data directory of a system into which somebody has written hostile names."""
    data = DataDirectory(tmp_path_factory.mktemp("system"))
    (data.images / HOSTILE).mkdir(parents=True)
    (data.images / HOSTILE / FILE).touch()
    asyncio.run(_plant(data))
    return data.path


async def _plant(data: DataDirectory) -> None:
    datastore = await SqlDatastore.open(data.database_url)
    users = [build_user(), build_user(HOSTILE), build_user(f"{HOSTILE}2")]
    for user in users:
        await datastore.add_user(user)
    token = PersonalToken(
        id="t",
        user_id=users[1].id,
        name=HOSTILE,
        scope=Scope.READ,
        created_at=NOW,
        expires_at=NOW + 1,
    )
    await datastore.add_personal_token("hash", token)
    await datastore.add_join_token(JoinToken(id="j", name=HOSTILE, secret_hash="", created_at=NOW))
    await datastore.add_worker(replace(build_worker(), name=HOSTILE, paused=HOSTILE))
    model, cost = CostModel(), Cost(milliseconds=1, cpu_milliseconds=1, memory=1)
    model.learn(encode_pipeline(parse_pipeline("blur")), HEADER, 1, HOSTILE[:96], cost)
    await datastore.keep_cost_models(model.changed())
    await datastore.close()


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """A server whose every answer is hostile."""
    api = StubApi()
    api.images["i0"] = b""
    api.words = api.workers = HOSTILE
    with pytest.MonkeyPatch.context() as patch, serving(api) as url:
        for name in ("summary", "remedy"):
            patch.setitem(EXPLANATION, name, HOSTILE)
        patch.setitem(EXPLANATION, "details", [HOSTILE])
        patch.setitem(EXPLANATION, "obstacles", [{"worker": HOSTILE, "reason": HOSTILE}])
        yield url


def test_every_command_has_its_cases() -> None:
    """A new command is tried, too."""
    assert set(commands_of(typer.main.get_command(app))) == set(CASES)


@pytest.mark.parametrize("command", CASES)
def test_nothing_for_the_terminal_comes_out(
    command: str, planted: Path, pictures: Path, server: str, tmp_path: Path
) -> None:
    """Neither on standard output nor on standard error, whatever becomes of the command."""
    data = tmp_path / "data"
    shutil.copytree(planted, data)
    env = environment(
        data,
        DPIP_TOKEN="t0ken",
        DPIP_USER_PASSWORD="password",
        DPIP_SYSTEM_NAME=HOSTILE,
        TERM="xterm-256color",
    )
    for number, case in enumerate(CASES[command]):
        arguments = [
            argument.replace(PICTURES, str(pictures)).replace(SERVER, server) for argument in case
        ]
        said = run_dpip([*command.split(), *arguments], env, tmp_path / f"{number}.log")
        assert said
        assert not UNSAFE.search(said), repr(said)
        assert "Traceback" not in said, said
        assert not re.search(r"^forged", said, flags=re.MULTILINE), said


def run_dpip(arguments: list[str], env: dict[str, str], log: Path) -> str:
    """Run a command to its end, in a process that has loaded all already; what it has written."""
    process = _FORKS.Process(target=_run_dpip, args=(arguments, env, log))
    process.start()
    process.join(PATIENCE)
    assert process.exitcode is not None
    return log.read_bytes().decode(errors="surrogateescape")


def _run_dpip(arguments: list[str], env: dict[str, str], log: Path) -> None:
    os.environ.clear()
    os.environ.update(env)
    os.chdir(log.parent)
    output = os.open(log, os.O_WRONLY | os.O_CREAT)
    for descriptor in (1, 2):
        os.dup2(output, descriptor)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.argv = ["dpip", *arguments]
    main()


def test_what_is_hostile_is_shown_and_not_hidden(planted: Path) -> None:
    """Letters stay; markup is text; the rest is escaped."""
    listed = dpip("user", "list", env=environment(planted)).stdout.splitlines()
    assert (
        r"ä\x1b[31m\x1b]0;t\x07\x9b2J\x7f\u202e\u2066\u200b\u2028[red]\r\nforged\tx" + ("\tuser\t1")
        in listed
    )
