"""Pictures made worse by chance, the same ones for the same seed."""

import random
from collections.abc import Callable, Iterator, Sequence

_HEAD = 512
_MOST_FLIPS = 16
_LIES = (
    b"\0\0\0\0",
    b"\0\0\0\1",
    b"\1\0\0\0",
    b"\x7f\xff\xff\xff",
    b"\xff\xff\xff\x7f",
    b"\xff" * 4,
)


def mutations(pictures: Sequence[bytes], count: int, seed: int) -> Iterator[bytes]:
    """Yield ``count`` damaged copies of ``pictures``, of which there is at least one.

    They are cut off, have bits flipped, lengths that lie, parts that are gone or there twice, or go
    on as another of the pictures.
    """
    chance = random.Random(seed)  # noqa: S311  # nosec B311 # damage that can be made again
    for _ in range(count):
        content = bytearray(chance.choice(pictures))
        if content:
            chance.choice(_WAYS)(content, pictures, chance)
        yield bytes(content)


def _cut_off(content: bytearray, _: Sequence[bytes], chance: random.Random) -> None:
    del content[_place(content, chance) :]


def _flip_bits(content: bytearray, _: Sequence[bytes], chance: random.Random) -> None:
    for _flip in range(chance.randint(1, _MOST_FLIPS)):
        content[_place(content, chance)] ^= 1 << chance.randrange(8)


def _lie(content: bytearray, _: Sequence[bytes], chance: random.Random) -> None:
    at = _place(content, chance)
    content[at : at + 4] = chance.choice(_LIES)


def _take_out(content: bytearray, _: Sequence[bytes], chance: random.Random) -> None:
    at = _place(content, chance)
    del content[at : at + chance.randint(1, _HEAD)]


def _repeat(content: bytearray, _: Sequence[bytes], chance: random.Random) -> None:
    at = _place(content, chance)
    content[at:at] = content[at : at + chance.randint(1, _HEAD)] * chance.randint(1, 64)


def _go_on_as_another(content: bytearray, pictures: Sequence[bytes], chance: random.Random) -> None:
    at = _place(content, chance)
    content[at:] = chance.choice(pictures)[chance.choice((0, at)) :]


_WAYS: tuple[Callable[[bytearray, Sequence[bytes], random.Random], None], ...] = (
    _cut_off,
    _flip_bits,
    _lie,
    _take_out,
    _repeat,
    _go_on_as_another,
)


def _place(content: bytearray, chance: random.Random) -> int:
    """A place in ``content``, as often as not among its first bytes, where the structure is."""
    return chance.randrange(min(len(content), _HEAD) if chance.random() < 0.5 else len(content))
