"""``dpip store``: whether the pictures on the disk and the database match."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from dpip.cli.output import say, say_each, say_json
from dpip.cli.service import DataDir, settings_from
from dpip.errors import InvalidValue

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from dpip.config import Settings
    from dpip.controller.store_check import Finding

app = typer.Typer(
    help="Check the stored pictures against the database, repair both, and tie them together.",
    no_args_is_help=True,
)

_SOMETHING_WRONG = 3
_SHOWN = 20
_MEANING = {
    "missing": "the database knows the picture, and its file is gone",
    "wrong_size": "the file has another size than the picture had",
    "wrong_hash": "the file has other bytes than the picture had",
    "without_row": "the database does not know the picture",
}


@app.command()
def check(
    data_dir: DataDir = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Put right what is wrong; the system must be stopped.")
    ] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="Compare names and sizes only, and read no picture.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Compare the stored pictures with the database; the exit code is 3 if something is wrong."""
    if repair and quick:
        raise InvalidValue(
            field="--quick", value="--quick", allowed="--repair always reads every picture"
        )
    settings = settings_from(data_dir=data_dir)
    if (_repair if repair else _check)(settings, quick, json):
        raise typer.Exit(_SOMETHING_WRONG)


@app.command()
def adopt(data_dir: DataDir = None) -> None:
    """Tie the image directory and the database, once you are sure that they belong together."""
    from dpip import compose

    settings = settings_from(data_dir=data_dir)
    asyncio.run(compose.adopt_store(settings))
    say(
        f"The image directory in {settings.data_dir} and the database "
        f"{compose.shown_database(settings)} belong together now."
    )


def _check(settings: "Settings", quick: bool, json: bool) -> bool:
    from dpip import compose

    found = asyncio.run(compose.check_store(settings, quick=quick))
    counts = {"rows": found.rows, "files": found.files, "set_aside": found.set_aside}
    if json:
        say_json({**counts, "findings": _as_values(found.findings)})
    else:
        say(
            f"{found.rows} pictures in the database, {found.files} on the disk, "
            f"and {found.set_aside} moved aside to .orphans."
        )
        _print_findings(found.findings)
        if found.findings:
            say("Stop the system and run 'dpip store check --repair' to put this right.")
        else:
            say("They match.")
    return bool(found.findings)


def _repair(settings: "Settings", _quick: bool, json: bool) -> bool:
    from dpip import compose

    done = asyncio.run(compose.repair_store(settings))
    counts = {
        "brought_back": done.brought_back,
        "workloads": done.workloads,
        "originals": done.originals,
        "results": done.results,
        "again": done.again,
        "failed": done.failed,
    }
    if json:
        say_json(
            {
                **counts,
                "rescued": done.rescued,
                "findings": _as_values(done.left),
            }
        )
    else:
        say_each(
            f"Brought back from .orphans: {done.brought_back}",
            f"In the database again: workloads {done.workloads}, originals {done.originals}, "
            f"results {done.results}",
            f"To be filtered again, because their results are lost: {done.again}",
            f"Failed, because their originals are lost: {done.failed}",
        )
        _print_paths("could not be used, and moved here; nothing removes them", done.rescued)
        _print_findings(done.left)
    return bool(done.failed or done.rescued or done.left)


def _print_findings(findings: "Sequence[Finding]") -> None:
    for wrong, meaning in _MEANING.items():
        paths = [each.path for each in findings if each.wrong == wrong]
        _print_paths(f"{wrong}: {meaning}", paths)


def _print_paths(what: str, paths: "Sequence[Path]") -> None:
    if not paths:
        return
    say(f"{len(paths)} {what}")
    for path in paths[:_SHOWN]:
        say(f"  {path}")
    if len(paths) > _SHOWN:
        say(f"  and {len(paths) - _SHOWN} others; --json names them all")


def _as_values(findings: "Sequence[Finding]") -> "list[Mapping[str, str | None]]":
    return [
        {
            "wrong": each.wrong.value,
            "path": str(each.path),
            "image_id": each.image.id if each.image else each.path.stem,
        }
        for each in findings
    ]
