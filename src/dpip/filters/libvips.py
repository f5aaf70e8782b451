"""libvips, set up for a process that filters one untrusted picture after another."""

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# Parallelism comes from one process a slot; threads within a picture would only compete with it.
# libvips and the libraries under it read this once, when they are loaded.
os.environ["VIPS_CONCURRENCY"] = "1"

import pyvips

__all__ = ["complaints_of", "pyvips", "warnings_of"]

_log = logging.getLogger(pyvips.__name__)
_log.setLevel(logging.WARNING)

# No result is ever asked for twice, so a cache would only hold on to memory.
pyvips.cache_set_max(0)

# Hostile bytes reach the decoders of the six formats and no other code.
pyvips.operation_block_set("VipsForeignLoad", True)
for _name in ("Jpeg", "Png", "Webp", "Nsgif", "Tiff", "Heif"):
    pyvips.operation_block_set(f"VipsForeignLoad{_name}", False)


class _Listener(logging.Handler):
    """Notes down what is logged."""

    def __init__(self, messages: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._messages = messages

    def emit(self, record: logging.LogRecord) -> None:
        self._messages.append(record.getMessage())


@contextmanager
def warnings_of() -> Iterator[list[str]]:
    """What libvips, and the decoders in it, warn of meanwhile."""
    messages: list[str] = []
    listener = _Listener(messages)
    _log.addHandler(listener)
    try:
        yield messages
    finally:
        _log.removeHandler(listener)


def complaints_of(work: Callable[[], object]) -> list[str]:
    """What libvips warns of while ``work`` is done, and the errors that it goes on after."""
    pyvips.Error("")  # Takes what is left of earlier ones.
    with warnings_of() as warnings:
        work()
    overlooked = str(pyvips.Error("").detail).splitlines()
    return list(dict.fromkeys(line.strip() for line in (*warnings, *overlooked)))
