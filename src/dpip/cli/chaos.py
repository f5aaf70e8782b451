"""``dpip chaos``: the whole system under random faults, and whether it has kept its promises."""

import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dpip.cli.output import say, say_json

if TYPE_CHECKING:
    from dpip.chaos.run import Verdict


def chaos(
    pictures: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[PICTURE]...",
            help="Pictures and folders of pictures; by default the photographs of the extra demo.",
        ),
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Pictures to filter.")] = 1000,
    seed: Annotated[int, typer.Option(help="The same seed plans the same faults.")] = 1,
    kill: Annotated[
        str,
        typer.Option(
            help="What is hit: worker (killed or frozen), scheduler, controller, api, nats "
            "(killed), network (workers cut off)."
        ),
    ] = "worker,scheduler,controller,api,nats,network",
    rate: Annotated[float, typer.Option(min=0, help="Faults for every hundred jobs.")] = 3.0,
    filter: Annotated[  # noqa: A002
        str, typer.Option(help="Filter and its parameters, such as blur or blur:sigma=5.")
    ] = "grayscale",
    workers: Annotated[int, typer.Option(min=1, max=200, help="Worker processes.")] = 4,
    plan: Annotated[bool, typer.Option("--plan", help="Print the faults and do nothing.")] = False,
    json: Annotated[
        bool, typer.Option("--json", help="Print the verdict as one JSON object.")
    ] = False,
) -> None:
    """Run the system while its parts are killed, frozen and cut off; check what its user saw.

    Workers get ten times as many faults as any other target. Exits with 0 if nothing acknowledged
    was lost, nothing was visible twice, nothing is stuck, and every output is that of a run without
    faults; else with 1, and the record and the logs stay.
    """
    from dpip.chaos.plan import parse_targets, plan_faults
    from dpip.chaos.run import run_chaos
    from dpip.cli.connect import refuse_usage, variables_of_a_local_system
    from dpip.cli.photographs import photographs
    from dpip.client.folder import plan_batch
    from dpip.config import load_settings
    from dpip.filters.pipeline import parse_pipeline

    if not sys.platform.startswith("linux"):
        raise refuse_usage(["dpip chaos needs Linux: a loopback address for every worker."])
    parse_pipeline(filter)
    settings, found = load_settings()
    faults = plan_faults(
        jobs=jobs,
        seed=seed,
        targets=parse_targets(kill),
        rate=rate,
        workers=workers,
        term=settings.lease.timeout_seconds,
    )
    if plan:
        for fault in faults:
            say(
                f"{fault.after:>8} jobs  {fault.target} {fault.kind}  worker {fault.worker}"
                f"  {fault.seconds:g} s"
            )
        return
    chosen = plan_batch(pictures or photographs(), Path(tempfile.gettempdir()))
    if chosen.problems:
        raise refuse_usage(chosen.problems)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    directory = Path(tempfile.mkdtemp(prefix="dpip-chaos-"))
    try:
        verdict = run_chaos(
            directory,
            [picture.source for picture in chosen.pictures],
            faults,
            filter=filter,
            jobs=jobs,
            workers=workers,
            settings=variables_of_a_local_system(found),
            on_progress=lambda settled, inflicted: say(
                f"{settled} of {jobs} jobs, {inflicted} of {len(faults)} faults", aside=True
            ),
        )
    except KeyboardInterrupt:
        shutil.rmtree(directory, ignore_errors=True)
        raise typer.Exit(130) from None
    _print(verdict, seed, as_json=json)
    if not verdict.kept:
        say(f"The record and the logs of all parts are in {directory}", aside=True)
        raise typer.Exit(1)
    shutil.rmtree(directory)


def _print(verdict: "Verdict", seed: int, *, as_json: bool) -> None:
    if as_json:
        say_json({"kept": verdict.kept, "seed": seed, **verdict.report})
        return
    say(f"seed         {seed}")
    for name, value in verdict.report.items():
        say(f"{name:<13}{value}")
    say("The promises were kept." if verdict.kept else "The promises were NOT kept.")
