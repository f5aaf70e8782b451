"""``dpip join-token``: what lets workers in."""

import datetime
import re
from typing import TYPE_CHECKING, Annotated

import typer

from dpip.cli.output import say
from dpip.cli.service import DataDir, on_datastore
from dpip.errors import InvalidValue, NotFound

if TYPE_CHECKING:
    from dpip.data_directory import DataDirectory

app = typer.Typer(
    help="Create, list, rotate and revoke what lets workers in.", no_args_is_help=True
)

_EXPIRES = re.compile(r"(?P<number>[1-9][0-9]{0,4})(?P<unit>[mhd])")
_SECONDS = {"m": 60, "h": 3600, "d": 86_400}

Name = Annotated[str, typer.Argument(help="What it is called.")]
Expires = Annotated[
    str | None, typer.Option(help="How long it is good for: 30m, 24h, 7d. For ever by default.")
]


@app.command()
def create(name: Name, expires: Expires = None, data_dir: DataDir = None) -> None:
    """Create a join token, and show it this once."""
    from dpip import join_tokens
    from dpip.model.join_token import check_join_token_name

    check_join_token_name(name)
    seconds = _seconds(expires)
    data = _data_directory(data_dir)
    shown = on_datastore(
        data_dir, lambda store: join_tokens.create(store, data, name, seconds), new=True
    )
    say(shown)


@app.command("list")
def list_join_tokens(data_dir: DataDir = None) -> None:
    """List join tokens with the time of their creation, expiry and last use."""
    tokens = on_datastore(data_dir, lambda datastore: datastore.join_tokens())
    for token in tokens:
        say(
            f"{token.name}\tcreated {_time(token.created_at)}"
            f"\texpires {_time(token.expires_at)}\tlast used {_time(token.last_used_at)}"
        )


@app.command()
def rotate(name: Name, expires: Expires = None, data_dir: DataDir = None) -> None:
    """Give a join token a new secret; workers that joined with the old one are cut off."""
    from dpip import join_tokens

    seconds = _seconds(expires)
    data = _data_directory(data_dir)
    shown = on_datastore(data_dir, lambda store: join_tokens.rotate(store, data, name, seconds))
    if shown is None:
        raise NotFound(kind="join token", id=name)
    say(shown)


@app.command()
def revoke(name: Name, data_dir: DataDir = None) -> None:
    """End a join token; workers that joined with it are cut off, and their jobs wait again."""
    if not on_datastore(data_dir, lambda datastore: datastore.remove_join_token(name)):
        raise NotFound(kind="join token", id=name)
    say(f"Revoked {name}.")


def _data_directory(data_dir: str | None) -> "DataDirectory":
    from dpip.config import load_settings
    from dpip.data_directory import DataDirectory

    settings, _ = load_settings({"data_dir": data_dir})
    return DataDirectory(settings.data_dir)


def _seconds(expires: str | None) -> float | None:
    if expires is None:
        return None
    found = _EXPIRES.fullmatch(expires)
    if found is None:
        raise InvalidValue(
            field="--expires",
            value=expires,
            allowed="a number of minutes, hours or days: 30m, 24h, 7d",
        )
    return int(found["number"]) * _SECONDS[found["unit"]]


def _time(at: float | None) -> str:
    if at is None:
        return "never"
    return datetime.datetime.fromtimestamp(at, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
