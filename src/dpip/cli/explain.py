"""``dpip explain``: why a picture is where it is, or why it still waits."""

from typing import TYPE_CHECKING, Annotated

import typer

from dpip.cli.output import say, say_json
from dpip.cli.service import TlsCa, UserOnServer

if TYPE_CHECKING:
    from dpip.client.answers import Explanation


def explain(
    image_id: Annotated[
        str, typer.Argument(metavar="ID", help="Id of an original, or of what came of it.")
    ],
    server: Annotated[str, typer.Option(help="URL of a running API.")] = "http://localhost:8080",
    user: UserOnServer = None,
    tls_ca: TlsCa = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print the explanation as one JSON object.")
    ] = False,
) -> None:
    """Say why a picture went to its worker, or why it waits and what would have to change."""
    from dpip.cli.connect import connected

    with connected(server, user=user, tls_ca=tls_ca) as client:
        explanation = client.explain(image_id)
    if json:
        say_json(explanation)
    else:
        _print(explanation)


def _print(explanation: "Explanation") -> None:
    say(explanation.summary)
    for sentence in explanation.details:
        say(f"  {sentence}")
    for obstacle in explanation.obstacles:
        say(f"  Worker {obstacle.worker} {obstacle.reason}.")
    if explanation.remedy:
        say(f"What to do: {explanation.remedy}")
