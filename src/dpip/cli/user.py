"""``dpip user``: who may use the system."""

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from dpip.cli.output import say, say_row
from dpip.cli.service import DataDir, on_datastore
from dpip.errors import InvalidValue, NotFound
from dpip.model.requirements import MOST_WEIGHT
from dpip.model.user import LONGEST_NAME, LONGEST_PASSWORD, SHORTEST_PASSWORD, Role
from dpip.plain_text import is_plain

if TYPE_CHECKING:
    from dpip.ports.datastore import Datastore

app = typer.Typer(
    help="Add, list, weigh and remove users, and set their passwords.", no_args_is_help=True
)

Name = Annotated[str, typer.Argument(help="Name of the user.")]


@app.command()
def add(
    name: Name,
    role: Annotated[
        Role, typer.Option(help="What they may do: look at their own, use the system, see all.")
    ] = Role.USER,
    admin: Annotated[bool, typer.Option("--admin", help="Short for --role administrator.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Add a user; the password is asked for, or comes from DPIP_USER_PASSWORD or a pipe."""
    from dpip.api.passwords import hash_password
    from dpip.model.ids import new_id
    from dpip.model.user import User
    from dpip.ports.clock import SystemClock

    user = User(
        id=new_id(),
        name=_checked_name(name),
        role=Role.ADMINISTRATOR if admin else role,
        password_hash=hash_password(_password()),
        created_at=SystemClock().now(),
    )
    on_datastore(data_dir, lambda datastore: datastore.add_user(user), new=True)
    say(f"Added {user.role} {name}.")


@app.command("list")
def list_users(data_dir: DataDir = None) -> None:
    """List users with their roles and weights."""
    for user in on_datastore(data_dir, lambda datastore: datastore.users()):
        say_row(user.name, user.role, user.weight)


@app.command()
def passwd(name: Name, data_dir: DataDir = None) -> None:
    """Set a user's password; every token of theirs ends."""
    from dpip.api.passwords import hash_password

    password_hash = hash_password(_password())
    if not on_datastore(data_dir, lambda store: store.set_password(name, password_hash)):
        raise NotFound(kind="user", id=name)
    say(f"Set the password of {name}.")


@app.command()
def weight(
    name: Name,
    weight: Annotated[
        int, typer.Argument(min=1, max=MOST_WEIGHT, help=f"1 to {MOST_WEIGHT}; a new user has 1.")
    ],
    data_dir: DataDir = None,
) -> None:
    """Set a user's weight: of two who compete, one with twice the weight gets twice as much."""
    if not on_datastore(data_dir, lambda datastore: datastore.set_weight(name, weight)):
        raise NotFound(kind="user", id=name)
    say(f"{name} has a weight of {weight}.")


@app.command()
def remove(name: Name, data_dir: DataDir = None) -> None:
    """Remove a user and their tokens; administrators still see their workloads."""
    if not on_datastore(data_dir, lambda datastore: _remove(datastore, name)):
        raise NotFound(kind="user", id=name)
    say(f"Removed {name}.")


async def _remove(datastore: "Datastore", name: str) -> bool:
    administrators = [
        user.name for user in await datastore.users() if user.role is Role.ADMINISTRATOR
    ]
    if administrators == [name]:
        raise InvalidValue(
            field="the user to remove",
            value=name,
            allowed="there has to be an administrator; add another with 'dpip user add --admin'",
        )
    return await datastore.remove_user(name)


def _checked_name(name: str) -> str:
    # HTTP Basic authentication ends the name at the first colon.
    is_bare = is_plain(name) and name.strip() == name and ":" not in name
    if not is_bare or not 1 <= len(name) <= LONGEST_NAME:
        raise InvalidValue(
            field="user name",
            value=name,
            allowed=f"1 to {LONGEST_NAME} printable characters without a colon or spaces around",
        )
    return name


def _password() -> str:
    password = os.environ.get("DPIP_USER_PASSWORD") or _typed_password()
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        raise InvalidValue(
            field="the length of the password",
            value=len(password),
            allowed=f"{SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters",
        )
    return password


def _typed_password() -> str:
    if sys.stdin.isatty():
        typed: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
        return typed
    return sys.stdin.readline().rstrip("\r\n")
