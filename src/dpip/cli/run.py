"""``dpip run``: files and folders of pictures through the whole system and back."""

import contextlib
from http import HTTPStatus
from pathlib import Path
from typing import Annotated

import typer

from dpip.cli.output import say
from dpip.cli.service import TlsCa, UserOnServer, expanded
from dpip.model.requirements import HIGHEST_PRIORITY, LOWEST_PRIORITY, MOST_WEIGHT, GpuUse


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
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave pictures and results on the server.")
    ] = False,
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
    from dpip.cli.interruption import interrupt_on_signals
    from dpip.cli.own_workload import removed_at_the_end
    from dpip.cli.progress import BatchProgress
    from dpip.cli.report import lines_of_skipped, print_json, print_report
    from dpip.cli.waiting import Waiting, no_room, room_for_originals
    from dpip.client.api_client import Asked
    from dpip.client.batch import filter_in_workload
    from dpip.client.folder import plan_batch
    from dpip.compose import default_workers
    from dpip.errors import ApiRefused, DpipError, InvalidValue
    from dpip.filters.pipeline import parse_pipeline
    from dpip.model.requirements import read_requirements
    from dpip.ports.clock import SystemClock
    from dpip.worker.gpus import Gpus

    asked = Asked(tags=tags, prefer_tags=prefer_tags, gpu=gpu, priority=priority, weight=weight)
    if deadline is not None:
        asked["deadline"] = deadline
    out = expanded(out)
    plan = plan_batch(list(map(expanded, paths)), out, overwrite=overwrite)
    problems = list(plan.problems)
    if server and workers:
        problems.append("--workers is for a system that is started here, not for --server.")
    if keep and not server:
        problems.append("--keep is for --server: a system that is started here ends with it.")
    if server is None:  # Another server may know other filters, and has a clock of its own.
        try:
            parse_pipeline(filter)
            requirements = read_requirements(asked, now=SystemClock().now())
            if requirements.tags:
                problems.append("--tags needs --server: workers that are started here have none.")
            if requirements.gpu is GpuUse.REQUIRED and not Gpus().read():
                problems.append("--gpu required needs --server: this machine has no GPU for DPIP.")
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
    interrupt_on_signals()
    asked["png_compression"] = png_compression
    display = BatchProgress(len(plan.pictures))
    try:
        with (
            connected(server, user=user, workers=workers, tls_ca=tls_ca) as client,
            contextlib.ExitStack() as stack,
        ):
            workload = client.create_workload(filter, keep_metadata=keep_metadata, **asked)
            if server and not keep:
                stack.enter_context(removed_at_the_end(client, workload, server))
            stack.enter_context(display)
            report = filter_in_workload(
                client,
                workload,
                plan.pictures,
                keep=keep,
                max_bytes=None if server else room_for_originals(workers or default_workers()),
                on_progress=display.show,
                on_wait=Waiting(client, display.say_above, own_system=server is None).tell,
            )
    except KeyboardInterrupt:
        say(f"Interrupted: {display.came_back} pictures are in {out}.", aside=True)
        raise typer.Exit(130) from None
    except DpipError as error:
        status = error.status if isinstance(error, ApiRefused) else None
        if status == HTTPStatus.UNPROCESSABLE_ENTITY:
            raise refuse_usage([str(error)]) from error
        if display.started:
            total = len(plan.pictures)
            say(f"{display.came_back} of {total} pictures are in {out}.", aside=True)
        if status == HTTPStatus.INSUFFICIENT_STORAGE and server is None:
            raise no_room() from error
        raise
    if json:
        print_json(report, out, plan.skipped)
    else:
        print_report(report, out)
    if report.failures or plan.skipped.unreadable:
        raise typer.Exit(3)
