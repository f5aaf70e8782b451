"""Messages to bytes and back: MessagePack, checked against the message's type on the way in."""

from typing import TypeVar

import msgspec

from dpip.errors import MalformedMessage
from dpip.wire.messages import Message

M = TypeVar("M", bound=Message)

_encoder = msgspec.msgpack.Encoder()


def encode(message: Message) -> bytes:
    """Return ``message`` as bytes."""
    return _encoder.encode(message)


def decode(payload: bytes, kind: type[M], subject: str) -> M:
    """Return the message of type ``kind`` in ``payload``, received on ``subject``.

    Fields that ``kind`` does not have are passed over, so that a message may grow.
    Raises ``MalformedMessage``.
    """
    try:
        return msgspec.msgpack.decode(payload, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MalformedMessage(subject=subject, reason=error) from error
