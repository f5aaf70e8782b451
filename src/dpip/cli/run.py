"""``dpip run``: files and folders of pictures through the whole system and back."""

import signal
from pathlib import Path
from typing import Annotated

import typer

from dpip.cli.output import say
from dpip.cli.service import TlsCa, UserOnServer
from dpip.model.requirements import HIGHEST_PRIORITY, LOWEST_PRIORITY, MOST_WEIGHT, GpuUse

_INVALID_VALUE = 422


def run(
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="PATH", help="Pictures, and folders of pictures."),
    ],
    out: Annotated[
        Path,
        typer.Option(help="Folder for the filtered pictures; they keep names and subfolders."),
    ],
    filter: Annotated[  # noqa: A002
        str,
        typer.Option(help="Filter and its parameters, such as blur or blur:sigma=5."),
    ] = "grayscale",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files in --out that have a result's name.")
    ] = False,
    keep_metadata: Annotated[
        bool,
        typer.Option(
            "--keep-metadata", help="Keep all metadata, also place, serial numbers, owner."
        ),
    ] = False,
    png_compression: Annotated[
        int,
        typer.Option(min=0, max=9, help="Level of PNGs: 1 is the fastest, 9 makes the smallest."),
    ] = 1,
    tags: Annotated[
        str, typer.Option(help="What workers have to carry, separated by commas.")
    ] = "",
    prefer_tags: Annotated[
        str, typer.Option(help="What workers should carry, separated by commas.")
    ] = "",
    gpu: Annotated[GpuUse, typer.Option(help="Whether a worker has to have one.")] = GpuUse.NEVER,
    priority: Annotated[
        int,
        typer.Option(
            min=LOWEST_PRIORITY,
            max=HIGHEST_PRIORITY,
            help="Of your workloads, those of higher priority go first.",
        ),
    ] = 0,
    weight: Annotated[
        int,
        typer.Option(
            min=1,
            max=MOST_WEIGHT,
            help="Of your workloads of one priority, twice as much for twice the weight.",
        ),
    ] = 1,
    deadline: Annotated[
        str | None,
        typer.Option(help="When all should be done, as in 2030-01-31T18:00:00+01:00."),
    ] = None,
    server: Annotated[
        str | None,
        typer.Option(help="URL of a running API. Without it a system is started for this command."),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Workers of that system; one a core by default."),
    ] = None,
    user: UserOnServer = None,
    tls_ca: TlsCa = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print the report as one JSON object.")
    ] = False,
) -> None:
    """Filter pictures: all of them go through the whole system and come back under their names.

    Exits with 0 if every picture came back, with 3 if some did not, or a folder could not be read;
    they are then listed.
    """
    from dpip.cli.connect import connected, refuse_usage
    from dpip.cli.progress import BatchProgress
    from dpip.cli.report import lines_of_skipped, print_json, print_report
    from dpip.client.api_client import Asked
    from dpip.client.batch import filter_pictures
    from dpip.client.folder import plan_batch
    from dpip.errors import ApiRefused, InvalidValue
    from dpip.filters.pipeline import parse_pipeline
    from dpip.model.requirements import read_requirements
    from dpip.ports.clock import SystemClock

    asked = Asked(tags=tags, prefer_tags=prefer_tags, gpu=gpu, priority=priority, weight=weight)
    if deadline is not None:
        asked["deadline"] = deadline
    plan = plan_batch(paths, out, overwrite=overwrite)
    problems = list(plan.problems)
    if server and workers:
        problems.append("--workers is for a system that is started here, not for --server.")
    if server is None:  # Another server may know other filters, and has a clock of its own.
        try:
            parse_pipeline(filter)
            read_requirements(asked, now=SystemClock().now())
        except InvalidValue as error:
            problems.append(str(error))
    if problems:
        raise refuse_usage(problems)
    for line in lines_of_skipped(plan.skipped):
        say(line, aside=True)

    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise refuse_usage([f"{out} cannot be made: {error.strerror}."]) from error

    # A system that was started is to be stopped, and its data removed, whatever ends this command.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    asked["png_compression"] = png_compression
    display = BatchProgress(len(plan.pictures))
    try:
        with connected(server, user=user, workers=workers, tls_ca=tls_ca) as client, display:
            report = filter_pictures(
                client,
                plan.pictures,
                filter,
                keep_metadata=keep_metadata,
                on_progress=display.show,
                **asked,
            )
    except ApiRefused as error:
        if error.status == _INVALID_VALUE:
            raise refuse_usage([str(error)]) from error
        raise
    except KeyboardInterrupt:
        say(f"Interrupted: {display.came_back} pictures are in {out}.", aside=True)
        raise typer.Exit(130) from None
    if json:
        print_json(report, out, plan.skipped)
    else:
        print_report(report, out)
    if report.failures or plan.skipped.unreadable:
        raise typer.Exit(3)
