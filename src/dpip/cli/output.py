"""All that a command prints goes through here, so that no text of others steers the terminal."""

import codecs
import json
import sys

import msgspec

from dpip.plain_text import LONGEST, plain, plain_json

_LONGEST_LINE = 4 * LONGEST


def say(text: object = "", *, aside: bool = False) -> None:
    """Print ``text`` as one line: on standard output or, ``aside``, on standard error."""
    _print(plain(text, _LONGEST_LINE), aside=aside)


def say_each(*lines: object, aside: bool = False) -> None:
    """Print ``lines``, each as one."""
    for line in lines:
        say(line, aside=aside)


def say_row(*values: object) -> None:
    """Print ``values`` with tabs between them."""
    _print("\t".join(map(plain, values)))


def say_json(document: object, *, indent: int | None = None) -> None:
    """Print ``document`` as JSON, on one line unless it has an ``indent``.

    What is no value of JSON, such as a path, is printed as text.
    """
    values = msgspec.to_builtins(document, str_keys=True, enc_hook=str)
    separators = (",", ":") if indent is None else None
    # In any other encoding, letters have to be written as JSON itself escapes them.
    is_unicode = codecs.lookup(sys.stdout.encoding or "utf-8").name.startswith("utf")
    text = json.dumps(values, ensure_ascii=not is_unicode, indent=indent, separators=separators)
    _print("\n".join(map(plain_json, text.split("\n"))))


def _print(text: str, *, aside: bool = False) -> None:
    print(text, file=sys.stderr if aside else sys.stdout, flush=True)
