"""``dpip config``: every setting, and where it came from."""

from typing import Annotated

import typer


def config(
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show each setting with its value and where that was found."""
    import msgspec
    from rich.console import Console
    from rich.table import Table

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
        values = {name: {"value": value, "source": source} for name, value, source in shown}
        print(msgspec.json.encode(values, enc_hook=str).decode())
        return
    table = Table("setting", "value", "from", box=None)
    for name, value, source in shown:
        table.add_row(name, "" if value is None else str(value), source)
    Console().print(table)
