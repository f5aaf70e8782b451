"""The user guide names every setting, command, filter and error that there is, and no other."""

import re
from pathlib import Path

import typer.core
import typer.main

from dpip.cli.main import app
from dpip.config import load_settings
from dpip.filters.registry import FILTERS
from dpip.model.job import FailureCode
from dpip.model.note import Note

GUIDE = Path(__file__).parents[2].joinpath("user-guide.md").read_text()


def section(title: str) -> str:
    return GUIDE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def first_cells(title: str) -> list[str]:
    """What stands between backquotes in the first column of the section's tables."""
    rows = re.findall(r"^\| (`.*?) \|", section(title), flags=re.MULTILINE)
    return [name for row in rows for name in re.findall(r"`([^`]+)`", row)]


def test_every_setting_stands_in_its_table_with_its_default() -> None:
    """The table of settings is the tree of settings, in its order."""
    rows = re.findall(r"^\| `([a-z_.]+)` \| (.*?) \|", section("Settings"), flags=re.MULTILINE)
    _, settings = load_settings(environment={}, file=Path("none.toml"))
    defaults = {setting.name: setting.value for setting in settings}
    assert [name for name, _ in rows] == list(defaults)
    for name, shown in rows:
        default = defaults[name]
        if isinstance(default, bool):
            assert shown.strip("`") == str(default).lower(), name
        elif shown and isinstance(default, int | float):
            assert float(shown.strip("`")) == default, name
        elif shown:
            assert shown.strip("`") == default, name


def test_every_command_stands_in_its_table_with_its_options() -> None:
    """The table of commands is what the command line takes."""
    rows = re.findall(
        r"^\| `(dpip [a-z -]+?)(?: [A-Z…\[\]]+)*` \| (.*) \|$", GUIDE, flags=re.MULTILINE
    )
    documented = {command: sorted(re.findall(r"--[a-z-]+", options)) for command, options in rows}
    assert documented == dict(_commands(typer.main.get_command(app), "dpip"))


def _commands(command: object, name: str) -> list[tuple[str, list[str]]]:
    if isinstance(command, typer.core.TyperGroup):
        found = [(name, _options(command))] if name == "dpip worker" else []
        for word, inner in command.commands.items():
            found += _commands(inner, f"{name} {word}")
        return found
    assert isinstance(command, typer.core.TyperCommand)
    return [(name, _options(command))]


def _options(command: typer.core.TyperGroup | typer.core.TyperCommand) -> list[str]:
    return sorted(each.opts[0] for each in command.params if each.param_type_name == "option")


def test_every_failure_code_is_explained() -> None:
    """The codes of failed images are those of the model."""
    codes = {code.value for code in FailureCode}
    assert codes <= set(first_cells("Errors"))


def test_every_note_is_explained() -> None:
    """The codes in the table of notes are those of the model."""
    rows = re.findall(r"^\| `(\w+)` \|", GUIDE.split("### Notes on results")[1], flags=re.MULTILINE)
    assert set(rows[: len(Note)]) == {note.value for note in Note}


def test_every_filter_is_described() -> None:
    """The table of filters names each, with its aliases."""
    names = {name for each in FILTERS for name in (each.name, *each.aliases)}
    described = set(first_cells("Filters, formats and quality"))
    assert described == names
