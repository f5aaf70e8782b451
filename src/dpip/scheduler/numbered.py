"""Values under a bounded set of names, so that what is kept of them is bounded too."""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Numbered(Generic[K, V]):
    """At most ``most`` values by their keys; the one not set for longest makes room for another.

    Each is kept under a name, ``prefix`` and a number; who makes room leaves its name to the other.
    """

    def __init__(self, prefix: str, most: int) -> None:
        self._free = {f"{prefix}-{number}": None for number in range(most)}
        self._names: dict[K, str] = {}
        self._values: OrderedDict[K, V] = OrderedDict()
        self._changed: set[K] = set()

    def get(self, key: K) -> V | None:
        """The value of ``key``, if it has one."""
        return self._values.get(key)

    def values(self) -> list[V]:
        """All that there are."""
        return list(self._values.values())

    def set(self, key: K, value: V) -> None:
        """Let ``key`` have ``value``."""
        if key not in self._values:
            self._names[key] = self._free.popitem()[0] if self._free else self._forget_oldest()
        self._values[key] = value
        self._values.move_to_end(key)
        self._changed.add(key)

    def restore(self, name: str, key: K, value: V) -> bool:
        """Let ``key`` have ``value``, kept under ``name``; no if one of these is taken."""
        if name not in self._free or key in self._values:
            return False
        del self._free[name]
        self._names[key] = name
        self._values[key] = value
        return True

    def changed(self) -> dict[str, V]:
        """What has been set since this was last asked, by name."""
        changed = {self._names[key]: self._values[key] for key in self._changed}
        self._changed.clear()
        return changed

    def _forget_oldest(self) -> str:
        key, _ = self._values.popitem(last=False)
        self._changed.discard(key)
        return self._names.pop(key)
