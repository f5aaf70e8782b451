"""``dpip torture``: files of any kind through a live system, and what is left of it."""

import random
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from dpip.cli.output import say, say_json
from dpip.cli.service import TlsCa, UserOnServer

if TYPE_CHECKING:
    from dpip.cli.trial import Trial, Verdict

_PROGRESS_EVERY = 100


def torture(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR",
            help="Folder of files, pictures or not, with its subfolders.",
            exists=True,
            file_okay=False,
        ),
    ],
    mutate: Annotated[
        int, typer.Option(min=0, help="Damaged copies of those files to send as well.")
    ] = 0,
    seed: Annotated[
        int | None, typer.Option(help="Makes the same damage again; by default another each time.")
    ] = None,
    filter: Annotated[  # noqa: A002
        str, typer.Option(help="Filter and its parameters, such as blur or blur:sigma=5.")
    ] = "grayscale",
    server: Annotated[
        str | None,
        typer.Option(help="URL of a running API. Without it a system is started for this command."),
    ] = None,
    user: UserOnServer = None,
    tls_ca: TlsCa = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print the verdict as one JSON object.")
    ] = False,
) -> None:
    """Send every file through the system, and report what becomes of each and of the system.

    A file is filtered, refused with a code, or fails with a reason. Exits with 0 if nothing was
    answered with an error of the server, nothing was lost, there are workers, the processes of all
    of them are the same, and a sound picture is still filtered at the end, which shows that API,
    controller and scheduler are alive; else with 1. In a system started for this command those
    three are one process, which has to be the same too.
    """
    import psutil

    from dpip.cli.connect import connected, refuse_usage
    from dpip.cli.trial import try_system
    from dpip.compose import default_workers
    from dpip.errors import InvalidValue
    from dpip.filters.pipeline import parse_pipeline

    try:
        parse_pipeline(filter)
    except InvalidValue as error:
        raise refuse_usage([str(error)]) from error
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    if not files:
        raise refuse_usage([f"There is no file in {folder}."])
    seed = random.randrange(1 << 32) if seed is None else seed  # noqa: S311  # nosec B311 # no secret
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with connected(server, user=user, tls_ca=tls_ca) as client:
            verdict = try_system(
                client,
                _inputs(files, folder, mutate, seed),
                filter,
                workers=default_workers() if server is None else 1,
                # The one that this command has started, if it has.
                processes=psutil.Process().children(),
                on_progress=_announce,
            )
    except OSError as error:
        raise refuse_usage([f"{error.filename} cannot be read: {error.strerror}."]) from error
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    if json:
        _print_json(verdict, seed)
    else:
        _print(verdict, seed, {_name(file, folder) for file in files})
    if not verdict.holds:
        raise typer.Exit(1)


def _inputs(
    files: list[Path], folder: Path, mutate: int, seed: int
) -> Iterator[tuple[str, Path | bytes]]:
    from dpip.cli.mutations import mutations

    for file in files:
        yield _name(file, folder), file
    if mutate:
        pictures = [file.read_bytes() for file in files]
        for number, content in enumerate(mutations(pictures, mutate, seed), 1):
            yield f"damaged copy {number:06}", content


def _name(file: Path, folder: Path) -> str:
    return str(file.relative_to(folder)).encode(errors="replace").decode()


def _announce(answered: int) -> None:
    if answered and answered % _PROGRESS_EVERY == 0:
        say(f"{answered} files answered", aside=True)


def _print_json(verdict: "Verdict", seed: int) -> None:
    document = {"holds": verdict.holds, "seed": seed, **msgspec.structs.asdict(verdict)}
    say_json(document)


def _print(verdict: "Verdict", seed: int, named: set[str]) -> None:
    """Print a row for each file in ``named`` and each fault, then sums, then the verdict."""
    from dpip.cli.tables import PlainTable

    whole = PlainTable("file", "fate", "code", "reason")
    for trial in verdict.trials:
        if trial.name in named or trial.is_error_of_the_server:
            whole.add(trial.name, trial.fate, _code(trial), trial.reason or "")
    whole.show()
    say()
    sums = PlainTable("files", "fate", "code")
    for (fate, code), count in Counter(
        (trial.fate, _code(trial)) for trial in verdict.trials
    ).most_common():
        sums.add(count, fate, code)
    sums.show()
    say()
    same = verdict.workers - len(verdict.workers_lost)
    say(f"Workers   {same} of {verdict.workers} are the processes that they were")
    say(f"System    {_state(verdict)}")
    say(f"Seed      {seed}")
    end = "holds" if verdict.holds else "DOES NOT HOLD"
    say(f"It {end}: {len(verdict.trials)} files in {verdict.seconds:.1f} s.")


def _state(verdict: "Verdict") -> str:
    if verdict.processes_lost:
        return "has ended"
    if verdict.goes_on:
        return "filters a sound picture: API, controller and scheduler are alive"
    return "filters nothing more"


def _code(trial: "Trial") -> str:
    return " ".join(str(part) for part in (trial.status, trial.code) if part)
