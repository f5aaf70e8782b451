r"""Makes text of others safe to show: in a terminal, in a log, in a table.

A file name, the reason of a failure, a name that a server sends: any of them may hold escape
sequences that steer a terminal, line breaks that forge a line of the log, characters that turn the
direction of what follows (CVE-2021-42574), or characters that nobody sees. They are shown as the
escape sequences of Python's string literals, such as ``\x1b``. Letters of all scripts and emoji
stay as they are.
"""

import re

LONGEST = 4096
"""Characters of a text that are shown: as many as a path may have."""

_JOINED = "\u0590-\u1fff\u2070-\ud7ff\uf900-\U000dffff"
"""Scripts that are written with joiners, and emoji; Latin, Greek and Cyrillic are not."""

_UNSAFE = (
    "["
    "\\x00-\\x1f\\x7f-\\x9f"  # C0 controls, DEL, C1 controls
    "\u00ad\u034f\u180e\u200b\u2060-\u2064\ufeff\ufff9-\ufffb"  # seen by nobody
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # turn the direction
    "\u2028\u2029\u206a-\u206f"  # separators of lines, and deprecated controls
    "\ud800-\udfff"  # lone surrogates: bytes of a file name that are no text
    "\U000e0000-\U000e0fff"  # tags
    "]"
    f"|(?<![{_JOINED}])[\u200c\u200d]|[\u200c\u200d](?![{_JOINED}])"  # joiners that join nothing
)
_unsafe = re.compile(_UNSAFE)

PLAIN = rf"(?s)\A(?:(?!{_UNSAFE}).)*\Z"
"""Pattern of a text that is safe to show as it is, for the types of messages."""


def plain(text: object, longest: int = LONGEST) -> str:
    """``str(text)`` in one line that is safe to show, ``longest`` characters of it."""
    shown = str(text)
    if len(shown) > longest:
        shown = f"{shown[: longest - 1]}…"
    return _unsafe.sub(_escaped, shown)


def is_plain(text: str) -> bool:
    """Whether ``text`` is safe to show as it is."""
    return _unsafe.search(text) is None


def plain_json(document: str) -> str:
    """A JSON ``document`` of the same meaning that is safe to show."""
    return _unsafe.sub(_escaped_in_json, document)


def _escaped(unsafe: re.Match[str]) -> str:
    return unsafe[0].encode("unicode_escape").decode("ascii")


def _escaped_in_json(unsafe: re.Match[str]) -> str:
    units = unsafe[0].encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))
