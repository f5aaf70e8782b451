"""Work on the medium of the image store: off the event loop, its errors told in our words."""

import asyncio
import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from dpip.errors import StorageFull, StorageUnavailable

T = TypeVar("T")

BLOCK = 1024 * 1024
"""Bytes that are read or written at once."""


async def in_thread(function: Callable[..., T], *arguments: object) -> T:
    """Call ``function`` in a thread. Raises ``StorageFull`` or ``StorageUnavailable``."""
    with explained():
        return await asyncio.to_thread(function, *arguments)


@contextmanager
def explained() -> Iterator[None]:
    """Raise ``StorageFull`` or ``StorageUnavailable`` for what the medium refuses."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull from error
        raise StorageUnavailable(storage="image store", reason=error.strerror or error) from error
