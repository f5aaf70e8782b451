from pathlib import Path

import pytest

from dpip.config import SECRETS, Setting, Settings, load_settings
from dpip.errors import BadSetting


def load(
    tmp_path: Path,
    *,
    arguments: dict[str, object] | None = None,
    environment: dict[str, str] | None = None,
    content: str | None = None,
) -> tuple[Settings, dict[str, Setting]]:
    """The settings, and each with its source, from a file with ``content`` if there is any."""
    file = tmp_path / "dpip.toml"
    if content is not None:
        file.write_text(content)
    settings, sources = load_settings(arguments, environment or {}, file)
    return settings, {setting.name: setting for setting in sources}


def refusal(tmp_path: Path, **given: object) -> BadSetting:
    with pytest.raises(BadSetting) as caught:
        load(tmp_path, **given)  # type: ignore[arg-type]
    return caught.value


def test_without_any_settings_there_are_defaults(tmp_path: Path) -> None:
    """Every one of them says that it is one."""
    settings, sources = load(tmp_path)
    assert settings == Settings()
    assert {setting.source for setting in sources.values()} == {"default"}
    assert sources["worker.slots"].value == settings.worker.slots


def test_the_command_line_comes_before_the_environment_before_the_file(tmp_path: Path) -> None:
    """Each setting is where it was found first."""
    settings, sources = load(
        tmp_path,
        arguments={"port": 1},
        environment={"DPIP_PORT": "2", "DPIP_CONTROLLER_PORT": "2"},
        content='port = 3\ncontroller_port = 3\nhost = "::"',
    )
    assert (settings.port, settings.controller_port, settings.host) == (1, 2, "::")
    assert sources["port"].source == "command line"
    assert sources["controller_port"].source == "DPIP_CONTROLLER_PORT"
    assert sources["host"].source == str(tmp_path / "dpip.toml")
    assert sources["admin_user"].source == "default"


def test_what_is_not_given_on_the_command_line_is_looked_for_elsewhere(tmp_path: Path) -> None:
    """An option that was left out is no value."""
    settings, _ = load(tmp_path, arguments={"port": None}, environment={"DPIP_PORT": "2"})
    assert settings.port == 2


def test_a_section_is_reached_from_everywhere(tmp_path: Path) -> None:
    """By a dot, by two underscores, by a table; its other settings keep their defaults."""
    settings, sources = load(
        tmp_path,
        arguments={"worker.slots": 3},
        environment={"DPIP_WORKER__PREFETCH": "0"},
        content="[worker]\nslots = 1\ndrain_seconds = 7\n[lease]\ntimeout_seconds = 9.5",
    )
    assert (settings.worker.slots, settings.worker.prefetch) == (3, 0)
    assert settings.worker.drain_seconds == 7.0
    assert settings.lease.timeout_seconds == 9.5
    assert settings.lease.heartbeat_seconds == Settings().lease.heartbeat_seconds
    assert sources["worker.prefetch"].source == "DPIP_WORKER__PREFETCH"


def test_text_becomes_what_the_setting_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A number, a path with the home directory in it."""
    monkeypatch.setenv("HOME", "/home/somebody")
    settings, _ = load(
        tmp_path,
        environment={"DPIP_DATA_DIR": "~/data", "DPIP_LEASE__TIMEOUT_SECONDS": "2"},
        content='[worker]\nscratch_dir = "/scratch"',
    )
    assert settings.data_dir == Path("/home/somebody/data")
    assert settings.worker.scratch_dir == Path("/scratch")
    assert settings.lease.timeout_seconds == 2.0


@pytest.mark.parametrize("name", ["prot", "worker.slot", "worker"])
def test_a_setting_that_is_none_is_refused(tmp_path: Path, name: str) -> None:
    """With those that there are."""
    error = refusal(tmp_path, arguments={name: 1})
    assert error.facts["setting"] == name
    assert error.facts["source"] == "command line"
    assert "controller_port" in str(error)
    assert "worker.slots" in str(error)


@pytest.mark.parametrize("content", ["prot = 1", "[worker]\nslot = 1", "[wroker]\nslots = 1"])
def test_a_misspelt_setting_of_the_file_is_refused(tmp_path: Path, content: str) -> None:
    """It names the file."""
    assert refusal(tmp_path, content=content).facts["source"] == str(tmp_path / "dpip.toml")


@pytest.mark.parametrize(
    ("variable", "setting", "value", "allowed"),
    [
        ("DPIP_PORT", "port", "many", "int"),
        ("DPIP_PORT", "port", "65536", "65535"),
        ("DPIP_PORT", "port", "-1", "0"),
        ("DPIP_WORKER__SLOTS", "worker.slots", "0", "1"),
        ("DPIP_LEASE__TIMEOUT_SECONDS", "lease.timeout_seconds", "0", "> 0"),
        ("DPIP_LEASE__TIMEOUT_SECONDS", "lease.timeout_seconds", "nan", "> 0"),
        ("DPIP_LIMITS__JOB_MEMORY_BYTES", "limits.job_memory_bytes", "1", "268435456"),
        ("DPIP_LOG_LEVEL", "log_level", "loud", "debug, info, warning, error"),
    ],
)
def test_a_value_that_will_not_do_is_explained(
    tmp_path: Path, variable: str, setting: str, value: str, allowed: str
) -> None:
    """The sentence names the setting, where it came from, the value and what would do."""
    error = refusal(tmp_path, environment={variable: value})
    assert str(error).startswith(f"Setting {setting} ({variable}) cannot be {value!r}: ")
    assert allowed in str(error.facts["allowed"])


@pytest.mark.parametrize(
    ("environment", "source"),
    [
        ({"DPIP_LEASE__LONGEST_SECONDS": "209"}, "DPIP_LEASE__LONGEST_SECONDS"),
        ({"DPIP_LIMITS__JOB_SECONDS": "226"}, "default"),
        ({"DPIP_WORKER__PREFETCH": "15"}, "default"),
    ],
)
def test_a_lease_is_long_enough_for_an_honest_attempt(
    tmp_path: Path, environment: dict[str, str], source: str
) -> None:
    """One that fetches with patience, waits for its slot, filters and uploads with patience."""
    error = refusal(tmp_path, environment=environment)
    assert (error.facts["setting"], error.facts["source"]) == ("lease.longest_seconds", source)
    assert "limits.job_seconds" in str(error)
    assert "worker.prefetch" in str(error)
    load(tmp_path, environment={**environment, "DPIP_LEASE__LONGEST_SECONDS": "630"})


def test_a_value_of_the_file_is_checked_too(tmp_path: Path) -> None:
    """A table where a value belongs is no value."""
    error = refusal(tmp_path, content="[port]\nslots = 1")
    assert error.facts["source"] == str(tmp_path / "dpip.toml")
    assert refusal(tmp_path, content="port = true").facts["value"] is True


@pytest.mark.parametrize("content", ["port = \n", "= 1", "port 1"])
def test_a_file_that_is_no_toml_is_named(tmp_path: Path, content: str) -> None:
    """With the place where it departs from TOML."""
    error = refusal(tmp_path, content=content)
    assert str(tmp_path / "dpip.toml") in str(error)
    assert "line 1" in str(error)


def test_bytes_that_are_no_text_are_no_toml(tmp_path: Path) -> None:
    """They are refused as any other mistake."""
    (tmp_path / "dpip.toml").write_bytes(b"\xff\xfe")
    assert "no TOML" in str(refusal(tmp_path))


def test_the_file_is_the_one_that_the_environment_names(tmp_path: Path) -> None:
    """``DPIP_CONFIG`` comes before ``dpip.toml`` in the working directory."""
    named = tmp_path / "named.toml"
    named.write_text("port = 7")
    settings, _ = load_settings({}, {"DPIP_CONFIG": str(named)})
    assert settings.port == 7


def test_a_file_in_the_working_directory_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is there to be found, and need not be there."""
    monkeypatch.chdir(tmp_path)
    assert load_settings({}, {})[0] == Settings()
    (tmp_path / "dpip.toml").write_text("port = 8")
    assert load_settings({}, {})[0].port == 8


def test_a_file_that_is_named_has_to_be_there(tmp_path: Path) -> None:
    """A misspelt name would else go unnoticed."""
    missing = tmp_path / "missing.toml"
    with pytest.raises(BadSetting) as caught:
        load_settings({}, {"DPIP_CONFIG": str(missing)})
    assert str(missing) in str(caught.value)
    assert "DPIP_CONFIG" in str(caught.value)


def test_what_is_secret_is_a_setting(tmp_path: Path) -> None:
    """A name that is hidden is one that there is."""
    assert set(load(tmp_path)[1]) >= SECRETS


def test_working_hours_are_read_from_everywhere(tmp_path: Path) -> None:
    """As text, and shown as such; so is a share."""
    settings, sources = load(
        tmp_path,
        environment={"DPIP_WORKER__HOURS": "20:00-8:00,12:00-13:00"},
        content="[worker]\nhours = '01:00-02:00'\npause_when_load_above = 0.7\nyield_gpu = true",
    )
    assert str(settings.worker.hours) == str(sources["worker.hours"].value)
    assert str(settings.worker.hours) == "20:00-08:00,12:00-13:00"
    assert settings.worker.pause_when_load_above == 0.7
    assert settings.worker.yield_gpu


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("hours", "8pm-8am", "'8pm-8am' is no range of hours; give ranges such as 20:00-08:00"),
        ("hours", "20:00-25:00", "has a time that no day has"),
        ("pause_when_load_above", "70", "<= 1"),
        ("pause_when_load_above", "0", "> 0"),
    ],
)
def test_wishes_that_make_no_sense_are_refused(
    tmp_path: Path, name: str, value: str, allowed: str
) -> None:
    """By name, with the value and what would do."""
    error = refusal(tmp_path, arguments={f"worker.{name}": value})
    assert f"worker.{name} (command line) cannot be {value!r}" in str(error)
    assert allowed in str(error)
