"""Messages to bytes and back: MessagePack, checked against the message's type on the way in."""

from typing import TypeVar, Union

import msgspec

from dpip.errors import MalformedMessage
from dpip.wire.messages import Message

M = TypeVar("M", bound=Message)
N = TypeVar("N", bound=Message)

_encoder = msgspec.msgpack.Encoder()


def encode(message: Message) -> bytes:
    """Return ``message`` as bytes."""
    return _encoder.encode(message)


def decode(payload: bytes, kind: type[M], subject: str) -> M:
    """Return the message of type ``kind`` in ``payload``, received on ``subject``.

    Fields that ``kind`` does not have are passed over, so that a message may grow.
    Raises ``MalformedMessage``.
    """
    return decode_either(payload, kind, kind, subject)


def decode_either(payload: bytes, one: type[M], other: type[N], subject: str) -> M | N:
    """Return the message in ``payload``, which may be of either type. See ``decode``."""
    try:
        message: M | N = msgspec.msgpack.decode(payload, type=Union[one, other])  # noqa: UP007
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedMessage(subject=subject, reason=error) from error
    return message
