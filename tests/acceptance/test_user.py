"""Users: ``dpip user``, what each may see, and who may read what the system writes."""

import stat
from pathlib import Path

from tests.acceptance.pictures import picture
from tests.acceptance.system import Api, Process, System, dpip, environment


def test_users_come_and_go(system: System) -> None:
    """Added by pipe, changed by variable, weighed, listed, removed; passwords open what they
    should.
    """
    env = system.env
    url = system.ready["api"]
    assert dpip("user", "add", "ann", env=env, input="first password\n").returncode == 0
    assert Api(url).login("ann", "first password").session.get(f"{url}/status").status_code == 200
    assert dpip("user", "add", "ann", env=env, input="other password\n").returncode == 1
    changed = {**env, "DPIP_USER_PASSWORD": "second password"}
    assert dpip("user", "passwd", "ann", env=changed).returncode == 0
    Api(url).login("ann", "second password")
    assert "ann\tuser\t1" in dpip("user", "list", env=env).stdout
    assert dpip("user", "weight", "ann", "3", env=env).stdout == "ann has a weight of 3.\n"
    assert "ann\tuser\t3" in dpip("user", "list", env=env).stdout
    for weight in ("0", "101"):
        assert dpip("user", "weight", "ann", weight, env=env).returncode == 2
    assert dpip("user", "weight", "nobody", "2", env=env).returncode == 1
    assert dpip("user", "remove", "ann", env=env).returncode == 0
    assert "ann" not in dpip("user", "list", env=env).stdout
    assert dpip("user", "remove", "ann", env=env).returncode == 1
    assert dpip("user", "add", "bob", env=env, input="short\n").returncode == 2
    assert dpip("user", "add", "bob", env=env, input=f"{'long' * 257}\n").returncode == 2
    reader = dpip("user", "add", "bob", "--role", "read-only", env=env, input="password\n")
    assert reader.stdout == "Added read-only bob.\n"


def test_others_objects_look_like_missing_ones(system: System) -> None:
    """A user gets the same 404 for another's workload and image as for none; an administrator
    sees them.
    """
    for name in ("carol", "dave"):
        added = dpip("user", "add", name, env=system.env, input=f"password of {name}\n")
        assert added.returncode == 0
    url = system.ready["api"]
    carol, dave = (Api(url).login(name, f"password of {name}") for name in ("carol", "dave"))
    workload_id = carol.create()["workload_id"]
    image_id = carol.push(workload_id, picture(1))
    for path in (f"workloads/{workload_id}", f"images/{image_id}"):
        assert dave.session.get(f"{url}/{path}").status_code == 404
        assert system.api.session.get(f"{url}/{path}").status_code == 200
    assert dave.session.get(f"{url}/workloads").json()["workloads"] == []


def test_a_personal_token_serves_a_program(system: System, tmp_path: Path) -> None:
    """``dpip run`` works with one in ``DPIP_TOKEN`` until it is revoked; its secret is printed
    once, and written to no log.
    """
    env = system.env
    assert dpip("user", "add", "eve", env=env, input="password of eve\n").returncode == 0
    made = dpip("token", "create", "eve", "--name", "nightly", "--days", "1", env=env)
    secret = made.stdout.strip()
    listed = dpip("token", "list", env=env).stdout
    token_id = next(line for line in listed.splitlines() if "\teve\tnightly\twrite" in line)
    assert secret not in listed
    (tmp_path / "in.png").write_bytes(picture(1))
    run = ("run", "in.png", "--overwrite", "--out", "out", "--server", system.ready["api"])
    with_token = {**env, "DPIP_TOKEN": secret}
    assert dpip(*run, env=with_token, cwd=tmp_path).returncode == 0
    assert dpip("token", "revoke", token_id.split("\t")[0], env=env).returncode == 0
    refused = dpip(*run, env=with_token, cwd=tmp_path)
    assert refused.returncode == 1
    assert secret not in system.process.said + refused.stderr


def test_the_first_start_makes_an_administrator(tmp_path: Path) -> None:
    """Its password is shown once and kept in a file for its owner's eyes alone."""
    env = environment(tmp_path / "data")
    del env["DPIP_ADMIN_PASSWORD"]
    arguments = ("up", "--port", "0", "--controller-port", "0", "--workers", "0")
    first = Process(tmp_path / "first.log", *arguments, env=env).until_it_says("Ready")
    kept = tmp_path / "data" / "admin-password"
    assert kept.stat().st_mode & 0o777 == 0o600
    password = kept.read_text().strip()
    assert password in first.said
    url = next(line.split()[1] for line in first.said.splitlines() if line.startswith("API"))
    Api(url).login("admin", password)
    assert first.stop() == 0
    second = Process(tmp_path / "second.log", *arguments, env=env).until_it_says("Ready")
    assert password not in second.said
    assert second.stop() == 0


def test_the_last_administrator_stays(tmp_path: Path) -> None:
    """The refusal says what to do first, and then it can be done."""
    env = environment(tmp_path, DPIP_USER_PASSWORD="correct horse")
    assert dpip("user", "add", "--admin", "ada", env=env).returncode == 0
    refused = dpip("user", "remove", "ada", env=env)
    assert refused.returncode == 2
    assert "dpip user add --admin" in refused.stderr
    assert dpip("user", "add", "--admin", "eve", env=env).returncode == 0
    assert dpip("user", "remove", "ada", env=env).returncode == 0
    assert dpip("user", "list", env=env).stdout == "eve\tadministrator\t1\n"


def test_the_database_is_its_owners_alone(tmp_path: Path) -> None:
    """It holds the hashes of passwords, and its directory may be open to others."""
    directory = tmp_path / "open"
    directory.mkdir(mode=0o755)
    env = environment(directory, DPIP_USER_PASSWORD="correct horse")
    assert dpip("user", "add", "ada", env=env).returncode == 0
    for file in directory.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) & 0o077 == 0, file


def test_a_system_that_is_not_there_has_no_users(tmp_path: Path) -> None:
    """Asking for them says so, and makes none."""
    directory = tmp_path / "elsewhere"
    asked = dpip("user", "list", env=environment(directory))
    assert asked.returncode == 1
    assert str(directory) in asked.stderr
    assert not directory.exists()
