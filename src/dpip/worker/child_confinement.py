"""What the child denies itself before it touches bytes of strangers."""

import contextlib
import resource
import sys


def confine() -> None:
    """Give up what filtering never needs. Called once, when everything is loaded."""
    # A crash of a decoder is expected, and its core would be as large as the picture.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def limit_memory(limit: int) -> None:
    """Let this process have no more than ``limit`` bytes of private memory.

    The kernel refuses more at the moment it is asked for, before the slot's own watch can see it.
    The limit is on data, not on addresses: those of libraries and mapped files cost no memory.
    """
    if sys.platform != "linux":
        return  # Elsewhere this limit has no effect, and the slot watches alone.
    with contextlib.suppress(ValueError, OSError):
        _, most = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, most))
