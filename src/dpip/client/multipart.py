"""The body of an upload: a form with one file, sent straight from where the file lies."""

import io
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

_BLOCK = 1 << 20


class CannotRead(Exception):
    """``error`` is of the stream that is sent, and none of the connection."""

    def __init__(self, error: OSError) -> None:
        super().__init__(str(error))
        self.error = error


class UploadForm:
    """A ``multipart/form-data`` body of text fields, and then the file as field ``data``.

    Every iteration sends the stream from where it stood at first, so a request can be repeated.
    Only one block of it is in memory at a time. The stream must be seekable. Iterating raises
    ``CannotRead``.
    """

    def __init__(self, stream: BinaryIO, *, filename: str, fields: Mapping[str, str]) -> None:
        self._stream = stream
        self._start = stream.tell()
        self._size = stream.seek(0, io.SEEK_END) - self._start
        boundary = secrets.token_hex(16)
        texts = "".join(
            f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
            for name, value in fields.items()
        )
        file_header = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="data"; '
            f'filename="{_quoted(filename)}"\r\nContent-Type: application/octet-stream\r\n\r\n'
        )
        self._head = (texts + file_header).encode()
        self._tail = f"\r\n--{boundary}--\r\n".encode()
        self.headers = {
            "Content-Type": f"multipart/form-data; boundary={boundary}",
            "Content-Length": str(len(self._head) + self._size + len(self._tail)),
        }

    def __iter__(self) -> Iterator[bytes]:
        self._stream.seek(self._start)
        if self._size <= _BLOCK:
            # One buffer, so that a small picture goes out in one packet.
            yield b"".join((self._head, self._read(self._size), self._tail))
            return
        yield self._head
        for offset in range(0, self._size, _BLOCK):
            yield self._read(min(_BLOCK, self._size - offset))
        yield self._tail

    def _read(self, size: int) -> bytes:
        try:
            block = self._stream.read(size)
        except OSError as error:
            raise CannotRead(error) from error
        if len(block) < size:
            raise CannotRead(OSError("the file shrank while it was sent"))
        return block


@contextmanager
def opened(picture: Path | bytes | BinaryIO) -> Iterator[BinaryIO]:
    """Give ``picture`` as a seekable stream; one that is opened here is closed at the end."""
    match picture:
        case Path():
            with picture.open("rb") as stream:
                yield stream
        case bytes():
            yield io.BytesIO(picture)
        case _ if picture.seekable():
            yield picture
        case _:
            yield io.BytesIO(picture.read())


def _quoted(filename: str) -> str:
    """Escape as browsers do in the name of a file in a form."""
    printable = filename.encode("utf-8", "replace").decode()
    return printable.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
