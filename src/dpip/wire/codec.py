"""Messages to bytes and back: MessagePack, checked against the message's type on the way in."""

from typing import Any, TypeVar, Union

import msgspec
from msgspec import Struct

from dpip.errors import MalformedMessage
from dpip.wire.messages import Message

M = TypeVar("M", bound=Message)
N = TypeVar("N", bound=Message)

LARGEST_MESSAGE = 256 * 1024
"""Bytes that a message may have; the server refuses larger ones already."""

_encoder = msgspec.msgpack.Encoder()


def encode(message: Message) -> bytes:
    """Return ``message`` as bytes."""
    return _encoder.encode(message)


class _Nameless(Struct, tag="?"):
    """Stands beside a single type, because msgspec asks for a name only where it has a choice."""


def decode(payload: bytes, kind: type[M], subject: str) -> M:
    """Return the message of type ``kind`` in ``payload``, received on ``subject``.

    Fields that ``kind`` does not have are passed over, so that a message may grow.
    Raises ``MalformedMessage``.
    """
    message: M | _Nameless = _decode(payload, Union[kind, _Nameless], subject)  # noqa: UP007
    if isinstance(message, _Nameless):
        raise MalformedMessage(subject=subject, reason="it has no name")
    return message


def decode_either(payload: bytes, one: type[M], other: type[N], subject: str) -> M | N:
    """Return the message in ``payload``, which may be of either type. See ``decode``."""
    message: M | N = _decode(payload, Union[one, other], subject)  # noqa: UP007
    return message


def _decode(payload: bytes, kind: Any, subject: str) -> Any:
    if len(payload) > LARGEST_MESSAGE:
        raise MalformedMessage(subject=subject, reason=f"it has {len(payload)} bytes")
    try:
        return msgspec.msgpack.decode(payload, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedMessage(subject=subject, reason=error) from error
