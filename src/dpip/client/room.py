"""What a batch takes up on its server: bounded while it is on its way, removed once it is back."""

from collections import deque

from dpip.client.targets import Picture

MAX_PICTURES = 1000
"""Pictures that may be uploaded and not yet back; what a batch keeps in memory grows with it."""

_REMOVED_AT_ONCE = 16


class Room:
    """Bounds the pictures of a batch that are on their way, and the bytes of their originals."""

    def __init__(self, max_bytes: int | None) -> None:
        self._max_bytes = max_bytes
        self._sizes: dict[Picture, int] = {}
        self._bytes = 0

    def take(self, picture: Picture) -> bool:
        """Whether there is room for ``picture``, which is taken then. One always has some."""
        size = 0 if self._max_bytes is None else _size(picture)
        if self._sizes and (
            len(self._sizes) >= MAX_PICTURES
            or (self._max_bytes is not None and self._bytes + size > self._max_bytes)
        ):
            return False
        self._sizes[picture] = size
        self._bytes += size
        return True

    def free(self, picture: Picture) -> None:
        """Give back what ``picture`` took, if it took some."""
        self._bytes -= self._sizes.pop(picture, 0)


class Removal:
    """Which results may be removed from the server: up to a position, all are finished.

    They are removed a few at a time, and sooner if their originals have ``max_bytes`` together.
    """

    def __init__(self, max_bytes: int | None) -> None:
        self._max_bytes = max_bytes
        self._positions: deque[int] = deque()
        self._finished: dict[int, Picture] = {}
        self._through = 0
        self._pictures = self._bytes = 0

    def expect(self, position: int) -> None:
        """Count a result in; positions grow."""
        self._positions.append(position)

    def finish(self, position: int, picture: Picture) -> None:
        """Let the result at ``position``, which came of ``picture``, go."""
        self._finished[position] = picture
        while self._positions and self._positions[0] in self._finished:
            self._through = self._positions.popleft()
            done = self._finished.pop(self._through)
            self._pictures += 1
            self._bytes += 0 if self._max_bytes is None else _size(done)

    def take_due(self) -> int | None:
        """The position up to which results are to be removed now, if there are enough of them."""
        is_due = self._pictures >= _REMOVED_AT_ONCE or (
            self._max_bytes is not None and self._bytes >= self._max_bytes
        )
        if not is_due:
            return None
        self._pictures = self._bytes = 0
        return self._through


def _size(picture: Picture) -> int:
    try:
        return picture.source.stat().st_size
    except OSError:  # Whoever reads it will say why.
        return 0
