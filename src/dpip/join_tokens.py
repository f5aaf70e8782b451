"""Join tokens are made: shown once, and kept as a hash.

The one called ``local`` lies in the data directory, where workers of the same machine find it.
"""

import msgspec

from dpip.data_directory import DataDirectory
from dpip.errors import InvalidValue
from dpip.model.join_token import JoinSecret, JoinToken
from dpip.ports.clock import SystemClock
from dpip.ports.datastore import JoinTokens

LOCAL = "local"


def local_secret(data: DataDirectory, authority: str | None) -> JoinSecret:
    """Return the join token of this machine, made if it is not there.

    From now on join tokens name ``authority``, the fingerprint of whoever signs the servers'
    certificates.
    """
    known = _kept(data) or JoinSecret.new()
    secret = msgspec.structs.replace(known, authority=authority)
    data.keep_join_token(str(secret))
    return secret


async def admit_local(join_tokens: JoinTokens, secret: JoinSecret) -> None:
    """Have ``secret`` let this machine's workers in, and no earlier one."""
    if await join_tokens.join_token(secret.id) is None:
        token = _token(LOCAL, secret, None)
        if not await join_tokens.replace_join_token(token):
            await join_tokens.add_join_token(token)


async def create(
    join_tokens: JoinTokens, data: DataDirectory, name: str, seconds: float | None
) -> JoinSecret:
    """Add a join token that is good for ``seconds``, or for ever.

    Raises ``JoinTokenExists``.
    """
    secret = JoinSecret.new(_authority(data))
    await join_tokens.add_join_token(_token(name, secret, seconds))
    return secret


async def rotate(
    join_tokens: JoinTokens, data: DataDirectory, name: str, seconds: float | None
) -> JoinSecret | None:
    """Give a join token a new secret; ``None`` if there is none of that name."""
    secret = JoinSecret.new(_authority(data))
    if not await join_tokens.replace_join_token(_token(name, secret, seconds)):
        return None
    if name == LOCAL:
        data.keep_join_token(str(secret))
    return secret


def _token(name: str, secret: JoinSecret, seconds: float | None) -> JoinToken:
    now = SystemClock().now()
    return JoinToken(
        id=secret.id,
        name=name,
        secret_hash=secret.hash,
        created_at=now,
        expires_at=None if seconds is None else now + seconds,
    )


def _authority(data: DataDirectory) -> str | None:
    kept = _kept(data)
    return kept.authority if kept else None


def _kept(data: DataDirectory) -> JoinSecret | None:
    try:
        return JoinSecret.read(data.known_join_token() or "")
    except InvalidValue:
        return None
