"""Identifiers: opaque, sortable by the time they were made, safe as file names and NATS tokens."""

import re
import secrets
import threading
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32, lower case
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]
"""What ten bits are written as."""

_ID = re.compile(r"[0-9a-z]{1,64}")
_TIME_BITS, _RANDOM_BITS = 48, 82
_SHIFTS = range(_TIME_BITS + _RANDOM_BITS - 10, -1, -10)

_lock = threading.Lock()
_last = 0


def is_id(text: str) -> bool:
    """Whether ``text`` can be an id at all, and thus may be looked up in any database."""
    return _ID.fullmatch(text) is not None


def new_id() -> str:
    """Return 26 characters that sort after every id this process made before.

    The layout is that of a ULID (48 bits of milliseconds, then randomness); within a millisecond,
    and when the wall clock steps back, the previous id is counted up instead.
    """
    global _last
    fresh = (time.time_ns() // 1_000_000) << _RANDOM_BITS | secrets.randbits(_RANDOM_BITS)
    with _lock:
        _last = number = fresh if fresh > _last else _last + 1
    return "".join([_PAIRS[number >> shift & 1023] for shift in _SHIFTS])
