"""``dpip bench``: the whole system against a bare loop over the same pictures."""

import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from dpip.cli.service import TlsCa

if TYPE_CHECKING:
    from dpip.cli.benchmark import Comparison, Speed


def bench(
    folder: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="Folder of pictures.", exists=True, file_okay=False),
    ],
    filter: Annotated[  # noqa: A002
        str, typer.Option(help="Filter and its parameters, such as blur or blur:sigma=5.")
    ] = "grayscale",
    server: Annotated[
        str | None,
        typer.Option(help="URL of a running API. Without it a system is started for this command."),
    ] = None,
    user: Annotated[
        str | None, typer.Option(envvar="DPIP_USER", help="User on the server.")
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds that are measured.")] = 3,
    tls_ca: TlsCa = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print the comparison as one JSON object.")
    ] = False,
) -> None:
    """Measure DPIP from folder to folder against the limit: a bare loop, one process a core.

    The two take turns within one run, after a warm-up of each; start-up is not counted.
    """
    from dpip.cli.bare_loop import BareLoop
    from dpip.cli.benchmark import Side, compare
    from dpip.cli.connect import connected, refuse_usage
    from dpip.client.batch import filter_pictures
    from dpip.client.folder import plan_batch
    from dpip.compose import default_workers
    from dpip.errors import InvalidValue
    from dpip.filters.pipeline import parse_pipeline

    try:
        parse_pipeline(filter)
    except InvalidValue as error:
        raise refuse_usage([str(error)]) from error
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="dpip-bench-") as scratch:
        out_of_limit, out_of_dpip = Path(scratch, "limit"), Path(scratch, "dpip")
        plan = plan_batch([folder], out_of_limit)
        if plan.problems:
            raise refuse_usage(plan.problems)
        through_dpip = plan_batch([folder], out_of_dpip).pictures
        try:
            with (
                BareLoop(plan.pictures, filter, default_workers()) as loop,
                connected(server, user=user, tls_ca=tls_ca) as client,
            ):
                comparison = compare(
                    Side(out=out_of_limit, pictures=plan.pictures, run=loop.run),
                    Side(
                        out=out_of_dpip,
                        pictures=through_dpip,
                        run=lambda: filter_pictures(client, through_dpip, filter).seconds,
                    ),
                    rounds=rounds,
                    on_round=_announce,
                )
        except KeyboardInterrupt:
            raise typer.Exit(130) from None
    if json:
        _print_json(comparison, filter)
    else:
        _print(comparison, filter)
    outputs = comparison.outputs
    if min(outputs.limit, outputs.dpip) < comparison.pictures:
        raise typer.Exit(3)


def _announce(number: int) -> None:
    print(f"round {number}" if number else "warming up", file=sys.stderr)


def _print_json(comparison: "Comparison", filter: str) -> None:  # noqa: A002
    document = {"filter": filter, **msgspec.structs.asdict(comparison)}
    print(msgspec.json.encode(document).decode())


def _print(comparison: "Comparison", filter: str) -> None:  # noqa: A002
    print(f"{comparison.pictures} pictures, {filter}, {len(comparison.ratios)} rounds")
    _print_speed("limit", comparison.limit)
    _print_speed("dpip", comparison.dpip)
    spread = f"{min(comparison.ratios):.2f} to {max(comparison.ratios):.2f}"
    print(f"ratio {comparison.ratio:.2f} ({spread})")
    outputs = comparison.outputs
    print(f"outputs: {outputs.limit} and {outputs.dpip} pictures, {outputs.different} differ")


def _print_speed(side: str, speed: "Speed") -> None:
    rate, time = speed.pictures_per_second, speed.milliseconds_a_picture
    print(
        f"{side:<6}{rate.median:9.1f} pictures/s ({rate.least:.1f} to {rate.most:.1f})"
        f"{time.median:9.2f} ms a picture ({time.least:.2f} to {time.most:.2f})"
    )
