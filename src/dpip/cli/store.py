"""``dpip store``: whether the pictures on the disk and the database match."""

import asyncio

import typer

from dpip.cli.output import say
from dpip.cli.service import DataDir, settings_from

app = typer.Typer(
    help="Check the stored pictures against the database, and tie the two.", no_args_is_help=True
)


@app.command()
def adopt(data_dir: DataDir = None) -> None:
    """Tie the image directory and the database, once you are sure that they belong together."""
    from dpip import compose

    settings = settings_from(data_dir=data_dir)
    asyncio.run(compose.adopt_store(settings))
    say(
        f"The image directory in {settings.data_dir} and the database "
        f"{compose.shown_database(settings)} belong together now."
    )
