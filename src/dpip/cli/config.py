"""``dpip config``: every setting, and where it came from."""

from typing import Annotated

import typer

from dpip.cli.output import say_json


def config(
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show each setting with its value and where that was found."""
    from dpip.cli.tables import PlainTable
    from dpip.config import SECRETS, load_settings

    _, found = load_settings()
    shown = [
        (
            setting.name,
            "(set, not shown)" if setting.name in SECRETS and setting.value else setting.value,
            setting.source,
        )
        for setting in found
    ]
    if json:
        say_json({name: {"value": value, "source": source} for name, value, source in shown})
        return
    table = PlainTable("setting", "value", "from")
    for name, value, source in shown:
        table.add(name, "" if value is None else value, source)
    table.show()
