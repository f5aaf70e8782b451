"""Notes on results: what a filtered picture has lost, or what was passed over, on purpose."""

from enum import StrEnum


class Note(StrEnum):
    """Something about a result that its owner should know. Stable: programs may compare them."""

    FRAMES_DROPPED = "frames_dropped"
    GAIN_MAP_DROPPED = "gain_map_dropped"
