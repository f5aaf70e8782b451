"""``dpip predict``: what pictures will cost, without filtering them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dpip.cli.output import say, say_json
from dpip.cli.service import DataDir

if TYPE_CHECKING:
    from dpip.model.cost import Prediction
    from dpip.scheduler.prediction import CostModel

_MIB = 1024 * 1024


def predict(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE", help="Pictures.", exists=True, dir_okay=False),
    ],
    filter: Annotated[  # noqa: A002
        str,
        typer.Option(help="Filter and its parameters, such as blur or blur:sigma=5."),
    ] = "grayscale",
    data_dir: DataDir = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print the predictions as one JSON object.")
    ] = False,
) -> None:
    """Predict CPU time and memory of filtering pictures, by their headers alone.

    What the system in the data directory has learned from its jobs is used; without one, what DPIP
    assumes. Exits with 3 if some files are no pictures, which are then listed.
    """
    from dpip.errors import UnsupportedPicture
    from dpip.filters.pipeline import encode_pipeline, parse_pipeline
    from dpip.formats import read_header

    pipeline = encode_pipeline(parse_pipeline(filter))
    model = _known_model(data_dir)
    rows: list[tuple[Path, str, Prediction]] = []
    failures: list[tuple[Path, Exception]] = []
    for path in files:
        try:
            with path.open("rb") as file:
                header = read_header(file)
        except UnsupportedPicture as error:
            failures.append((path, error))
            continue
        size = path.stat().st_size
        rows += [
            (path, processor, model.predict(pipeline, header, size, processor, gpu=True))
            for processor in model.processors() or [""]
        ]
    if json:
        _print_json(rows, failures)
    else:
        _print_table(rows, failures)
    if failures:
        raise typer.Exit(3)


def _known_model(data_dir: str | None) -> "CostModel":
    from dpip.cli.service import on_datastore
    from dpip.errors import NotFound
    from dpip.scheduler.prediction import CostModel

    try:
        kept = on_datastore(data_dir, lambda datastore: datastore.cost_models())
    except NotFound:  # No system was ever started there.
        return CostModel()
    return CostModel.restore(kept)


def _print_table(
    rows: "list[tuple[Path, str, Prediction]]", failures: list[tuple[Path, Exception]]
) -> None:
    from dpip.cli.tables import PlainTable

    figures = ("CPU ms", "memory MiB", "GPU memory MiB", "jobs learned from")
    table = PlainTable("file", *figures, "processor", figures=figures)
    for path, processor, prediction in rows:
        table.add(
            path,
            f"{prediction.cpu_milliseconds:.1f}",
            f"{prediction.memory / _MIB:.0f}",
            f"{prediction.gpu_memory / _MIB:.0f}",
            prediction.learned_from,
            processor or "any",
        )
    if rows:
        table.show()
    if any(not prediction.learned_from for *_, prediction in rows):
        say("Where no job was learned from, this is what DPIP assumes of any machine.")
    for path, error in failures:
        say(f"{path}: {error}", aside=True)


def _print_json(
    rows: "list[tuple[Path, str, Prediction]]", failures: list[tuple[Path, Exception]]
) -> None:
    document = {
        "predictions": [
            {
                "file": path,
                "processor": processor,
                "cpu_milliseconds": round(prediction.cpu_milliseconds, 3),
                "memory_bytes": prediction.memory,
                "gpu_memory_bytes": prediction.gpu_memory,
                "learned_from": prediction.learned_from,
            }
            for path, processor, prediction in rows
        ],
        "failures": [{"file": path, "reason": str(error)} for path, error in failures],
    }
    say_json(document)
