"""Notes on results: what a filtered picture has lost, or what was passed over, on purpose.

Between parts of different versions notes travel, and are kept, as text: codes separated by commas.
"""

import re
from collections.abc import Iterable
from enum import StrEnum

from dpip.errors import InvalidValue

MAX_NOTES = 16
"""Notes that a result may have."""

_CODE = re.compile(r"[a-z_]{1,40}")


class Note(StrEnum):
    """Something about a result that its owner should know. Stable: programs may compare them."""

    FRAMES_DROPPED = "frames_dropped"
    GAIN_MAP_DROPPED = "gain_map_dropped"
    CHANNELS_DROPPED = "channels_dropped"
    PROFILE_IGNORED = "profile_ignored"
    PREVIEWS_DROPPED = "previews_dropped"
    MASKS_DROPPED = "masks_dropped"
    DEPTH_MAP_DROPPED = "depth_map_dropped"
    VIDEO_DROPPED = "video_dropped"


_SENTENCES: dict[str, str] = {
    Note.FRAMES_DROPPED: "The first picture of the file was kept, and its other frames or pictures "
    "were dropped.",
    Note.GAIN_MAP_DROPPED: "The gain map, which brightens the picture on HDR displays, was "
    "dropped.",
    Note.CHANNELS_DROPPED: "Channels that are neither colour nor opacity, such as infrared or spot "
    "inks, were dropped.",
    Note.PROFILE_IGNORED: "The colour profile is broken or does not fit the picture, so it was "
    "ignored and dropped.",
    Note.PREVIEWS_DROPPED: "Pages that are smaller versions of other pages were dropped.",
    Note.MASKS_DROPPED: "Pages that are transparency masks of other pages were dropped.",
    Note.DEPTH_MAP_DROPPED: "The depth map, which tells how far things are away, was dropped.",
    Note.VIDEO_DROPPED: "The video of a motion photo was dropped.",
}


def sentence_of(code: str) -> str:
    """What ``code`` says to people; a newer worker may send one that is not known here."""
    return _SENTENCES.get(code, f"This note comes from a newer version of DPIP: {code}.")


def notes_as_text(notes: Iterable[str]) -> str:
    """``notes`` as text, each once."""
    return ",".join(dict.fromkeys(notes))


def notes_in_text(text: str) -> tuple[str, ...]:
    """The codes in ``text``, known or not. Raises ``InvalidValue``."""
    notes = tuple(dict.fromkeys(text.split(","))) if text else ()
    if len(notes) > MAX_NOTES or not all(map(_CODE.fullmatch, notes)):
        allowed = f"at most {MAX_NOTES} codes of a to z and _, each of 1 to 40 characters"
        raise InvalidValue(field="notes", value=text[:100], allowed=f"{allowed}, between commas")
    return notes
