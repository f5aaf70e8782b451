"""A file that appears under its name whole or not at all."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(
    target: Path, *, replaces: bool = True, modified_ns: int | None = None
) -> Iterator[Path]:
    """Give a file beside ``target`` that takes its name at the end of the block, or goes.

    Unless it ``replaces`` what is there, nothing is overwritten, and ``FileExistsError`` is raised.
    ``modified_ns`` becomes its time of modification.
    """
    # The name is short and starts with a dot: it fits wherever the target's own name does.
    partial = target.with_name(f".{secrets.token_hex(8)}.part")
    try:
        yield partial
        if modified_ns is not None:
            os.utime(partial, ns=(modified_ns, modified_ns))
        if replaces:
            partial.replace(target)
        else:
            _take_new_name(partial, target)
    finally:
        partial.unlink(missing_ok=True)


def _take_new_name(partial: Path, target: Path) -> None:
    try:
        os.link(partial, target)
    except FileExistsError:
        raise
    except OSError:  # A file system without hard links: the name is taken first.
        target.open("xb").close()
        partial.replace(target)
