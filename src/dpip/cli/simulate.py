"""``dpip simulate``: the scheduler and the datastore with simulated workers, and how they do."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from msgspec import Struct


def simulate(
    workers: Annotated[int, typer.Option(min=1, max=10_000, help="Simulated workers.")] = 1000,
    jobs: Annotated[int, typer.Option(min=20, max=10_000_000, help="Pictures.")] = 1_000_000,
    seed: Annotated[int, typer.Option(help="The same seed draws the same, and ends the same.")] = 1,
    policy: Annotated[
        str, typer.Option(help="How workers are ranked: the setting scheduler.policy.")
    ] = "least_loaded",
    mtbf: Annotated[
        float, typer.Option(min=1, help="Mean time between failures of a worker, in seconds.")
    ] = 14_400.0,
    plot: Annotated[
        Path | None,
        typer.Option(metavar="FILE.svg", help="Draw who works for whom, of 5,000 jobs at most."),
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print the report as one JSON object.")
    ] = False,
) -> None:
    """Run the real scheduler and datastore with simulated workers, in virtual time.

    Workers, their failures, users and pictures are drawn by the seed. Reports what a placement
    costs, how long everything took against the least that it could have, and who waited how long.
    """
    from dpip.cli.logs import write_logs
    from dpip.errors import InvalidValue
    from dpip.simulation.plot import MOST_JOBS
    from dpip.simulation.plot import plot as draw_plot
    from dpip.simulation.report import report
    from dpip.simulation.scenario import draw
    from dpip.simulation.virtual_run import Terms, run

    if plot and jobs > MOST_JOBS:
        raise InvalidValue(
            field="--jobs", value=jobs, allowed=f"with --plot, {MOST_JOBS} at most can be drawn"
        )
    write_logs("error")
    scenario = draw(workers=workers, jobs=jobs, seed=seed, mtbf=mtbf)
    finished = run(scenario, Terms(policy=policy, keep_runs=plot is not None), _say)
    if plot:
        plot.write_text(draw_plot(scenario, finished.world))
    _print(report(scenario, policy, finished), as_json=json)


def _say(what: str) -> None:
    print(what, file=sys.stderr)


def _print(figures: "Struct", *, as_json: bool) -> None:
    import msgspec

    if as_json:
        print(msgspec.json.encode(figures).decode())
        return
    for name, value in msgspec.structs.asdict(figures).items():
        shown = f"{value:.3f}" if isinstance(value, float) else f"{value}"
        print(f"{name.replace('_', ' '):<34}{shown}")
