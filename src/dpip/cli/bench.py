"""``dpip bench``: the whole system beside the limit of the machine and beside its peers."""

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dpip.cli.output import say, say_each, say_json
from dpip.cli.service import TlsCa, UserOnServer

if TYPE_CHECKING:
    from dpip.bench.run import Report


_JOBS = 2000


def bench(
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="[DIR]", help="Folder of pictures.", exists=True, file_okay=False),
    ] = None,
    mix: Annotated[
        str | None,
        typer.Option(
            help="Make the pictures instead: frames, photographs, thumbnails or mixed; several are "
            "joined by +."
        ),
    ] = None,
    filter: Annotated[  # noqa: A002
        list[str] | None,
        typer.Option(help="Filter and its parameters, such as blur:sigma=5; may be repeated."),
    ] = None,
    all: Annotated[  # noqa: A002
        bool, typer.Option("--all", help="Every mix with every filter of docs/performance.md.")
    ] = False,
    peers: Annotated[
        bool,
        typer.Option("--peers", help="Beside thumbor, ipx, Celery, mogrify and vips, too."),
    ] = False,
    control_plane: Annotated[
        bool,
        typer.Option("--control-plane", help="Measure what a job costs beside its picture."),
    ] = False,
    jobs: Annotated[
        int | None, typer.Option(min=100, help="Jobs of --control-plane, 2000 by default.")
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds that are measured.")] = 3,
    chart: Annotated[Path | None, typer.Option(help="Draw the result into this SVG file.")] = None,
    server: Annotated[
        str | None,
        typer.Option(help="URL of a running API. Without it a system is started for this command."),
    ] = None,
    user: UserOnServer = None,
    tls_ca: TlsCa = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print the report as one JSON object.")
    ] = False,
) -> None:
    """Measure DPIP from folder to folder against the limit, and against its peers.

    The limit is a bare loop, a process a core, by the fastest correct way for each format. All take
    turns within one run, after a warm-up of each; start-up is not counted. Pictures that cannot be
    filtered are named, and nobody is given them; the exit code is then 3.
    """
    from dpip.bench.mixes import MIXES
    from dpip.bench.run import FILTERS, folders_of, measure
    from dpip.cli.connect import connected, refuse_usage
    from dpip.cli.photographs import photographs
    from dpip.client.folder import plan_batch
    from dpip.errors import InvalidValue
    from dpip.filters.pipeline import parse_pipeline

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if control_plane:
        if folder or mix or all or filter or peers or chart or server or user or tls_ca:
            raise refuse_usage(["--control-plane has pictures, a filter and a system of its own."])
        return _control_plane(jobs or _JOBS, as_json=json)
    mixes = list(MIXES) if all else mix.split("+") if mix else []
    filters = list(filter or (FILTERS if all else ["grayscale"]))
    problems = [f"There is no mix {each}: {', '.join(MIXES)}." for each in set(mixes) - set(MIXES)]
    if [folder is not None, mix is not None, all].count(True) != 1:
        problems.append("Give one of these: a folder, --mix or --all.")
    if jobs:
        problems.append("--jobs is for --control-plane.")
    if chart and (chart.is_dir() or not os.access(chart.absolute().parent, os.W_OK)):
        problems.append(f"{chart} cannot be written: name a file in a folder that is there.")
    if folder is not None:
        folder = folder.resolve()  # Peers have working directories of their own.
        problems += plan_batch([folder], folder / ".out").problems
    for each in filters:
        try:
            parse_pipeline(each)
        except InvalidValue as error:
            problems.append(str(error))
    if problems:
        raise refuse_usage(problems)
    try:
        with (
            folders_of(folder, mixes, photographs() if mixes else []) as folders,
            connected(server, user=user, tls_ca=tls_ca) as client,
        ):
            report = measure(
                folders,
                filters,
                client,
                rounds=rounds,
                with_peers=peers,
                say=lambda what: say(what, aside=True),
            )
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    if json:
        say_json(report)
    else:
        _print(report)
    if chart:
        _draw(report, chart)
    if any(
        each.unfit or each.results[side].outputs.missing
        for each in report.comparisons
        for side in (0, 1)
    ):
        raise typer.Exit(3)


def _print(report: "Report") -> None:
    machine = report.machine
    say(
        f"{machine.at}: {machine.cores} cores of {machine.processor}, {machine.kernel}, "
        f"Python {machine.python}, DPIP {machine.dpip}; load {machine.load:.1f} at the start; "
        f"took {report.seconds:.0f} s"
    )
    for each in report.comparisons:
        say()
        say(
            f"{each.mix}, {each.filter}: {each.pictures} pictures, "
            f"{each.bytes / 1e6:.1f} MB, rounds: {each.rounds}"
        )
        for trial in each.trials:
            time = trial.milliseconds_a_picture
            figures = "" if time is None else f"{time:8.2f} ms, {trial.difference:.2f} levels off"
            say(f"  {trial.format}: {trial.way:<24}{figures}  {trial.verdict}")
        for result in each.results:
            rate, share = result.pictures_per_second, result.of_limit
            outputs = result.outputs
            say(
                f"  {result.name:<20}{rate.median:9.1f} pictures/s "
                f"({rate.least:.1f} to {rate.most:.1f}), {share.median:.2f} of the limit "
                f"({share.least:.2f} to {share.most:.2f}); {outputs.pictures} pictures, "
                f"{outputs.wrong} wrong, {outputs.difference:.1f} levels off"
            )
        for file in each.unfit:
            say(f"  {file} left out of all: it cannot be filtered")
        for absent in each.left_out:
            say(f"  {absent.name:<20}left out: {absent.reason}")
    for absent in report.left_out:
        say(f"{absent.name} left out: {absent.reason}")


def _draw(report: "Report", file: Path) -> None:
    from dpip.bench.chart import draw

    title = f"Speed by that of the limit, {report.machine.cores} cores, {report.machine.at[:10]}"
    file.write_text(draw(report.comparisons, title), encoding="utf-8")


def _control_plane(jobs: int, *, as_json: bool) -> None:
    from dpip.bench.control_plane import measure_control_plane
    from dpip.cli.connect import variables_of_a_local_system
    from dpip.config import load_settings

    account = measure_control_plane(
        jobs,
        variables_of_a_local_system(load_settings()[1]),
        say=lambda what: say(what, aside=True),
    )
    if as_json:
        say_json(account)
    else:
        say_each(*account.lines())
