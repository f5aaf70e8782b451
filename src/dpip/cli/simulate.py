"""``dpip simulate``: the scheduler and the datastore with simulated workers, and how they do."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dpip.cli.output import say, say_json

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
        float, typer.Option(min=60, help="Mean time between failures of a worker, in seconds.")
    ] = 14_400.0,
    flatness: Annotated[
        bool,
        typer.Option(
            "--flatness",
            help="Instead, measure a placement with 10 to 1,000 workers, 1,000 to 1,000,000 "
            "pending jobs.",
        ),
    ] = False,
    nats: Annotated[
        bool,
        typer.Option(
            "--nats",
            help="Instead, run the whole system in real time, with a real connection a worker, "
            "and jobs that take no time.",
        ),
    ] = False,
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
    from dpip.scheduler.policies import policy_named
    from dpip.simulation.plot import MOST_JOBS

    if plot and jobs > MOST_JOBS:
        raise InvalidValue(
            field="--jobs", value=jobs, allowed=f"with --plot, {MOST_JOBS} at most can be drawn"
        )
    policy_named(policy)
    write_logs("error")
    if flatness:
        from dpip.simulation.flatness import measure_flatness

        figures: Struct = measure_flatness(seed, policy, _say)
    elif nats:
        figures = _live(workers, jobs, seed)
    else:
        figures = _virtual(workers, jobs, seed, mtbf, policy, plot)
    _print(figures, as_json=json)


def _virtual(
    workers: int, jobs: int, seed: int, mtbf: float, policy: str, plot: Path | None
) -> "Struct":
    from dpip.simulation.heartbeats import share_of_a_core
    from dpip.simulation.plot import plot as draw_plot
    from dpip.simulation.report import report
    from dpip.simulation.scenario import draw
    from dpip.simulation.virtual_run import Terms, run

    scenario = draw(workers=workers, jobs=jobs, seed=seed, mtbf=mtbf)
    finished = run(scenario, Terms(policy=policy, keep_runs=plot is not None), _say)
    if plot:
        plot.write_text(draw_plot(scenario, finished.world))
    _say("listening to heartbeats")
    heartbeats = share_of_a_core(workers=workers, seed=seed, policy=policy)
    return report(scenario, policy, finished, heartbeats)


def _live(workers: int, jobs: int, seed: int) -> "Struct":
    import asyncio

    from dpip.simulation.live_run import run_live
    from dpip.simulation.scenario import draw

    return asyncio.run(run_live(draw(workers=workers, jobs=jobs, seed=seed, mtbf=1e12)))


def _say(what: str) -> None:
    say(what, aside=True)


def _print(figures: "Struct", *, as_json: bool) -> None:
    import msgspec

    if as_json:
        say_json(figures)
        return
    for name, value in msgspec.structs.asdict(figures).items():
        label = name.replace("_", " ")
        if isinstance(value, tuple):
            for row in value:
                say(f"{label:<34}{_words(row)}")
        else:
            say(f"{label:<34}{_number(value)}")


def _words(row: "Struct") -> str:
    import msgspec

    return ", ".join(
        f"{name} {_number(value)}" for name, value in msgspec.structs.asdict(row).items()
    )


def _number(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else f"{value}"
