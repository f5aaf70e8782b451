"""Conditional and range requests (RFC 9110, sections 13 and 14)."""

import re

from dpip.errors import RangeNotSatisfiable

_SINGLE_RANGE = re.compile(r"bytes\s*=\s*(\d{0,18})-(\d{0,18})\s*", re.ASCII | re.IGNORECASE)


def etag_listed(listed: str, etag: str) -> bool:
    """Whether an ``If-None-Match`` of ``listed`` covers the strong ``etag``."""
    if listed.strip() == "*":
        return True
    return any(item.strip().removeprefix("W/") == etag for item in listed.split(","))


def wanted_range(header: str | None, size: int) -> range | None:
    """Return the bytes that a ``Range`` asks for out of ``size``, or ``None`` for all of them.

    A header of another unit, of several ranges or of no sense is to be passed over, so it asks
    for all. Raises ``RangeNotSatisfiable``.
    """
    match = _SINGLE_RANGE.fullmatch(header.strip()) if header else None
    if match is None or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if not first:
        wanted = range(max(0, size - int(last)), size)
    elif last and int(last) < int(first):
        return None
    else:
        wanted = range(int(first), min(int(last) + 1, size) if last else size)
    if not wanted:
        raise RangeNotSatisfiable(size=size)
    return wanted
