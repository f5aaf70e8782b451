"""Reading bytes that cannot be trusted."""

from typing import BinaryIO

MOST_READS = 200_000
MOST_BYTES = 256 * 1024 * 1024


class Malformed(Exception):
    """The bytes are not what their format asks for; the message says how."""


class ByteReader:
    """Reads a file by small pieces: raises ``Malformed`` at its end, and for endless structures.

    Whatever the bytes claim, there are at most ``MOST_READS`` reads, of ``MOST_BYTES`` in all or of
    twice the file.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._reads_left = MOST_READS
        self._position = 0
        self.size = file.seek(0, 2)
        """Bytes in the file."""
        self._bytes_left = max(MOST_BYTES, 2 * self.size)

    @property
    def position(self) -> int:
        """Offset of the next byte from the beginning of the file."""
        return self._position

    @property
    def at_end(self) -> bool:
        """Whether every byte has been read or skipped."""
        return self._position >= self.size

    def seek(self, position: int) -> None:
        """Go on at ``position``."""
        if not 0 <= position <= self.size:
            raise Malformed("it is cut off")
        self._position = position

    def skip(self, count: int) -> None:
        """Pass over ``count`` bytes."""
        self.seek(self._position + count)

    def peek(self, count: int) -> bytes:
        """Up to ``count`` bytes from here, which remain to be read."""
        self._reads_left -= 1
        self._bytes_left -= count
        if self._reads_left < 0 or self._bytes_left < 0:
            raise Malformed("its structure goes on for too long")
        self._file.seek(self._position)
        return self._file.read(count)

    def read(self, count: int) -> bytes:
        """The next ``count`` bytes."""
        content = self.peek(count)
        if len(content) < count:
            raise Malformed("it is cut off")
        self._position += count
        return content
