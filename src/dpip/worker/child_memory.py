"""Memory between pictures: the child keeps none of one for the next."""

import ctypes

_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)


def return_free_memory() -> None:
    """Give back to the system what the C library holds on to, where that can be asked of it.

    So a node has it between large pictures, and none is measured as large as the one before.
    """
    if _trim is not None:
        _trim(0)
