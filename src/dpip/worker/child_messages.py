"""What a slot and its child process say to each other: MessagePack behind a length."""

import struct
from typing import BinaryIO

import msgspec
from msgspec import Struct

from dpip.model.cost import Milliseconds
from dpip.model.image import PictureFormat, PictureHeader
from dpip.model.job import Failure
from dpip.model.note import Note

LENGTH = struct.Struct(">L")
"""The number of bytes of the message that follows."""

LONGEST_ANSWER = 64 * 1024
"""Bytes of an answer: what more a child announces would lie in the worker's memory."""

ROOM, ORIGINALS = "room", "originals"
"""Names of the directories in which a child works, and in which it can only read."""

ORIGINAL, FILTERED = f"{ORIGINALS}/original", f"{ROOM}/filtered"
"""Where the picture to filter lies, and what comes of it."""


class Ready(Struct, frozen=True, kw_only=True, tag=True):
    """The first word of a child: libvips is loaded and warm.

    ``left_open`` is what the platform could not deny it, a phrase each; ``is_tight`` says that
    files and system calls are not among it. ``failures`` are the formats that it could not
    rehearse.
    """

    left_open: tuple[str, ...] = ()
    is_tight: bool = False
    failures: tuple[str, ...] = ()


class Task(Struct, frozen=True, kw_only=True, tag=True):
    """Filter the original."""

    pipeline: bytes
    format: PictureFormat


class Filtered(Struct, frozen=True, kw_only=True, tag=True):
    """The picture is filtered: the time spent on its pixels, and what was written.

    ``milliseconds`` is by the clock, ``cpu_milliseconds`` that of all threads together.
    """

    milliseconds: Milliseconds
    cpu_milliseconds: Milliseconds
    header: PictureHeader
    notes: tuple[Note, ...] = ()


class Failed(Struct, frozen=True, kw_only=True, tag=True):
    """The picture could not be filtered."""

    failure: Failure


class Unwritten(Struct, frozen=True, kw_only=True, tag=True):
    """The picture is filtered, and the disk does not take the result."""

    reason: str


Answer = Ready | Filtered | Failed | Unwritten

_encoder = msgspec.msgpack.Encoder()
_task_decoder = msgspec.msgpack.Decoder(Task)
_answer_decoder: msgspec.msgpack.Decoder[Answer] = msgspec.msgpack.Decoder(Answer)


def framed(message: Task | Answer) -> bytes:
    """``message`` as bytes behind their length."""
    content = _encoder.encode(message)
    return LENGTH.pack(len(content)) + content


def decode_answer(content: bytes) -> Answer:
    """The answer in ``content``; raises ``msgspec.DecodeError``."""
    return _answer_decoder.decode(content)


def read_task(stream: BinaryIO) -> Task | None:
    """Wait for the next task; ``None`` once the slot has closed ``stream``."""
    head = stream.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    (length,) = LENGTH.unpack(head)
    content = stream.read(length)
    return _task_decoder.decode(content) if len(content) == length else None
