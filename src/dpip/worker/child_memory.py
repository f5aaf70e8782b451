"""Memory between pictures: the child keeps little of one for the next."""

import ctypes

_WORTH_GIVING_BACK = 16 << 20
"""Bytes. To have them taken away and zeroed for the next picture takes a tenth of its time."""


class _MallInfo2(ctypes.Structure):
    """See mallinfo(3)."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            "arena",
            "ordblks",
            "smblks",
            "hblks",
            "hblkhd",
            "usmblks",
            "fsmblks",
            "uordblks",
            "fordblks",
            "keepcost",
        )
    )


_libc = ctypes.CDLL(None)
_trim = getattr(_libc, "malloc_trim", None)
_info = getattr(_libc, "mallinfo2", None)
if _info is not None:
    _info.restype = _MallInfo2


def return_free_memory() -> None:
    """Give back to the system what the C library holds on to, if it is much.

    So a node has it between large pictures, and none is measured as large as the one before. Where
    the library does not tell how much it is, it is given back each time.
    """
    if _trim is None:
        return
    if _info is None or _info().fordblks > _WORTH_GIVING_BACK:
        _trim(0)
