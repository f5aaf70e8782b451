import secrets
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import make_url

from dpip import data_directory
from dpip.data_directory import DataDirectory
from dpip.errors import CannotStart

SECRETS: list[tuple[str, Callable[[DataDirectory], str]]] = [
    (
        "message-server-signing-key",
        lambda data: data.signing_key(lambda: secrets.token_urlsafe(32)),
    ),
    ("message-server-password", DataDirectory.message_server_password),
]
each_secret = pytest.mark.parametrize(("file", "secret"), SECRETS)


@pytest.fixture
def data(tmp_path: Path) -> DataDirectory:
    data = DataDirectory(tmp_path / "data")
    data.create()
    return data


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_directory_is_its_owners_alone(tmp_path: Path) -> None:
    """It is made with what leads to it, and made once."""
    data = DataDirectory(tmp_path / "new" / "data")
    data.create()
    data.create()
    assert mode(data.path) == 0o700


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """With the option that names another."""
    (tmp_path / "file").touch()
    data = DataDirectory(tmp_path / "file" / "data")
    with pytest.raises(CannotStart, match="--data-dir") as caught:
        data.create()
    assert str(data.path) in str(caught.value)


def test_a_name_that_is_no_text_is_refused(tmp_path: Path) -> None:
    """No database could be named by it."""
    with pytest.raises(CannotStart, match="not UTF-8"):
        DataDirectory(tmp_path / "\udcff").create()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["%2F", "a?mode=memory", "#", "ü😀 '"])
def test_the_database_lies_in_the_directory_whatever_its_name(tmp_path: Path, name: str) -> None:
    """Its URL says so, too."""
    data = DataDirectory(tmp_path / name)
    assert make_url(data.database_url).database == str(data.database)


@each_secret
def test_a_secret_is_made_once(
    data: DataDirectory, file: str, secret: Callable[[DataDirectory], str]
) -> None:
    """And read from then on, by others too."""
    first = secret(data)
    assert len(first) >= 32
    assert secret(data) == secret(DataDirectory(data.path)) == first
    assert (data.path / file).read_text().strip() == first


@each_secret
def test_a_secret_is_its_owners_alone(
    data: DataDirectory, file: str, secret: Callable[[DataDirectory], str]
) -> None:
    """Nothing else is left in the directory."""
    secret(data)
    assert mode(data.path / file) == 0o600
    assert [path.name for path in data.path.iterdir()] == [file]


def test_secrets_differ(tmp_path: Path) -> None:
    """Between each other, and from one directory to the next."""
    made = set()
    for name in ("one", "two"):
        data = DataDirectory(tmp_path / name)
        data.create()
        made |= {secret(data) for _, secret in SECRETS}
    assert len(made) == 4


@each_secret
def test_a_secret_that_another_makes_first_is_used(
    data: DataDirectory,
    file: str,
    secret: Callable[[DataDirectory], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of two parts that start together one makes it, and both have the same."""
    make = data_directory.secrets.token_urlsafe  # type: ignore[attr-defined]
    of_the_other: list[str] = []

    def the_other_is_faster(size: int) -> str:
        monkeypatch.undo()
        of_the_other.append(secret(DataDirectory(data.path)))
        token: str = make(size)
        return token

    monkeypatch.setattr("dpip.data_directory.secrets.token_urlsafe", the_other_is_faster)
    assert [secret(data)] == of_the_other
    assert [path.name for path in data.path.iterdir()] == [file]


def test_processes_that_start_together_agree(data: DataDirectory) -> None:
    """Each starts when told, and all print the same."""
    program = f"""
from pathlib import Path
from dpip.data_directory import DataDirectory
print(flush=True)
input()
print(DataDirectory(Path({str(data.path)!r})).message_server_password())
"""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for process in processes:
        assert process.stdout is not None
        process.stdout.readline()
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    tokens = {process.communicate()[0].strip() for process in processes}
    assert tokens == {data.message_server_password()}


def test_a_secret_may_be_set_by_hand(data: DataDirectory) -> None:
    """What stands in the file is what is used."""
    (data.path / "message-server-password").write_text("of my own\n")
    assert data.message_server_password() == "of my own"


def test_the_join_token_of_this_machine_is_what_was_kept_last(data: DataDirectory) -> None:
    """A worker makes none; nobody but the owner reads it, and nothing else is left."""
    assert data.known_join_token() is None
    for text in ("first", "second"):
        data.keep_join_token(text)
        assert data.known_join_token() == text
    assert [path.name for path in data.path.iterdir()] == ["join-token"]
    assert stat.S_IMODE(data.join_token_file.stat().st_mode) == 0o600


def test_one_part_works_on_a_directory_at_a_time(data: DataDirectory) -> None:
    """A second is told which directory it is, another part is not kept out."""
    with data.held_by("controller"):
        with pytest.raises(CannotStart) as caught, DataDirectory(data.path).held_by("controller"):
            pass
        assert str(data.path) in str(caught.value)
        assert "controller" in str(caught.value)
        with data.held_by("scheduler"):
            pass


def test_a_directory_that_was_let_go_can_be_held_again(data: DataDirectory) -> None:
    """Also after a part that failed."""
    with pytest.raises(ZeroDivisionError), data.held_by("controller"):
        raise ZeroDivisionError
    with data.held_by("controller"):
        pass


def test_a_part_that_was_killed_lets_go(data: DataDirectory) -> None:
    """The lock goes with the process, however it ended."""
    program = f"""
from pathlib import Path
from dpip.data_directory import DataDirectory
with DataDirectory(Path({str(data.path)!r})).held_by("controller"):
    print(flush=True)
    input()
"""
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(CannotStart), data.held_by("controller"):
            pass
        holder.kill()
        holder.wait()
        with data.held_by("controller"):
            pass


def test_the_database_is_in_the_directory_wherever_it_is_opened_from(
    data: DataDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relative path means the same after a change of directory."""
    monkeypatch.chdir(data.path.parent)
    url = DataDirectory(Path("data")).database_url
    assert url == f"sqlite:///{data.path / 'dpip.db'}"
