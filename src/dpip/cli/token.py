"""``dpip token``: personal tokens, made for programs."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from dpip.cli.output import say, say_row
from dpip.cli.service import DataDir, on_datastore
from dpip.errors import NotFound
from dpip.model.user import LONGEST_TOKEN_DAYS, PersonalToken, Scope

if TYPE_CHECKING:
    from dpip.ports.datastore import Datastore

app = typer.Typer(help="Create, list and revoke personal tokens of users.", no_args_is_help=True)


@app.command()
def create(
    user: Annotated[str, typer.Argument(help="Name of the user.")],
    name: Annotated[str, typer.Option(help="What it is for.")],
    scope: Annotated[
        Scope, typer.Option(help="The most that it may do; never more than its user.")
    ] = Scope.WRITE,
    days: Annotated[
        int,
        typer.Option(min=1, max=LONGEST_TOKEN_DAYS, help="Days after which it is no longer good."),
    ] = 90,
    data_dir: DataDir = None,
) -> None:
    """Create a personal token; it is printed this once, and kept as a hash alone."""
    from dpip.api.auth import new_personal_secret, token_hash

    secret = new_personal_secret()
    token = on_datastore(
        data_dir,
        lambda datastore: _create(datastore, token_hash(secret), user, name, scope, days),
    )
    say(f"Token {token.id} of {user} ends {_date(token.expires_at)}:", aside=True)
    say(secret)


@app.command("list")
def list_tokens(data_dir: DataDir = None) -> None:
    """List personal tokens: id, user, name, scope, end and last use."""
    for user, token in on_datastore(data_dir, _all_tokens):
        used = "never" if token.last_used_at is None else _date(token.last_used_at)
        say_row(token.id, user, token.name, token.scope, _date(token.expires_at), used)


@app.command()
def revoke(
    token_id: Annotated[str, typer.Argument(metavar="ID", help="Id of the token.")],
    data_dir: DataDir = None,
) -> None:
    """End a personal token at once."""
    if not on_datastore(data_dir, lambda store: store.revoke_token(token_id, user_id=None)):
        raise NotFound(kind="token", id=token_id)
    say(f"Revoked {token_id}.")


async def _create(
    datastore: "Datastore", token_hash: str, user_name: str, name: str, scope: Scope, days: int
) -> PersonalToken:
    from dpip.ports.clock import SystemClock

    user = await datastore.user_named(user_name)
    if user is None:
        raise NotFound(kind="user", id=user_name)
    token = PersonalToken.of(user, name=name, scope=scope, days=days, now=SystemClock().now())
    await datastore.add_personal_token(token_hash, token)
    return token


async def _all_tokens(datastore: "Datastore") -> list[tuple[str, PersonalToken]]:
    names = {user.id: user.name for user in await datastore.users()}
    tokens = await datastore.personal_tokens(user_id=None)
    return [(names.get(token.user_id, ""), token) for token in tokens]


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")
