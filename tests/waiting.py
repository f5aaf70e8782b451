"""Waiting for what other processes do."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_GENEROUS_SECONDS = 60.0
_LOOK_AGAIN_SECONDS = 0.05


def eventually(look: Callable[[], T | None], what: str) -> T:
    """Return what ``look`` finds, as soon as it finds something; fail after a generous time."""
    give_up_at = time.monotonic() + _GENEROUS_SECONDS
    while not (found := look()):
        if time.monotonic() > give_up_at:
            raise AssertionError(f"still waiting for {what}")
        time.sleep(_LOOK_AGAIN_SECONDS)
    return found
