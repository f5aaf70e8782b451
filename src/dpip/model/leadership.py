"""Who leads, of several processes that could."""

from msgspec import Struct

SCHEDULER = "scheduler"
"""The part that one of several processes leads."""


class Leader(Struct, frozen=True, kw_only=True):
    """Who leads a part, as the datastore knows it.

    ``term`` grows by one with each change of leaders, 0 before the first. ``holder`` is ``None``
    once the leader has resigned; ``beat`` grows with each sign of its life.
    """

    term: int = 0
    holder: str | None = None
    beat: int = 0
