"""Whether the head of a request says one thing only (RFC 9112).

The parser refuses what breaks the grammar or the framing. What it lets through, and what two
servers on the way could read in two ways, is refused here.
"""

import re
from collections import Counter
from collections.abc import Sequence

import httptools

from dpip.errors import MalformedRequest

Headers = Sequence[tuple[bytes, bytes]]
"""Names in lower case, and values, as they came."""

_VERSIONS = frozenset({"1.0", "1.1"})
_SINGLE = frozenset(
    {
        b"host",
        b"authorization",
        b"content-length",
        b"content-type",
        b"idempotency-key",
        b"if-range",
        b"range",
        b"transfer-encoding",
    }
)
"""Fields that have one value: of two, a proxy could go by the one and this server by the other."""

_OF_CONNECTION = frozenset(
    {
        b"connection",
        b"content-length",
        b"host",
        b"keep-alive",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
"""Fields about the message or the connection, which mean nothing behind the body."""

_HOST = re.compile(
    rb"(?:\[[0-9A-Fa-f:.]+\]|\[v[0-9A-Fa-f]+\.[\w.~!$&'()*+,;=:-]+\]"
    rb"|(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+)(?::[0-9]*)?"
)
"""``uri-host [":" port]`` of RFC 3986, but for the empty host, which is no host of HTTP."""


def checked_target(method: bytes, target: bytes, version: str, headers: Headers) -> bytes:
    """Return ``target`` in its origin form, if the whole head can be read in one way only.

    Raises ``MalformedRequest``.
    """
    if version not in _VERSIONS:
        raise MalformedRequest(reason=f"its version is HTTP/{version}, and not 1.0 or 1.1")
    _check_fields(version, headers)
    return _origin_form(method, target)


def check_trailer(name: bytes) -> None:
    """Raise ``MalformedRequest`` for a field that may not stand behind the body."""
    if name.lower() in _OF_CONNECTION:
        raise MalformedRequest(reason=f"{_shown(name)} stands behind the body, as a trailer")


def _check_fields(version: str, headers: Headers) -> None:
    count = Counter(name for name, _ in headers)
    for name in _SINGLE & count.keys():
        if count[name] > 1:
            raise MalformedRequest(reason=f"it has {count[name]} header fields {_shown(name)}")
    values = dict(headers)
    host, coding = values.get(b"host"), values.get(b"transfer-encoding")
    if host is None:
        if version == "1.1":
            raise MalformedRequest(reason="it has no header field Host")
    elif not _HOST.fullmatch(host.rstrip(b" \t")):  # The parser leaves white space behind a value.
        raise MalformedRequest(reason=f"its Host is {_shown(host)}, which is no host and port")
    if coding is not None and (version == "1.0" or coding.lower() != b"chunked"):
        raise MalformedRequest(
            reason=f"its Transfer-Encoding is {_shown(coding)}; HTTP/1.1 has 'chunked' here"
        )


def _origin_form(method: bytes, target: bytes) -> bytes:
    if b"#" in target:
        raise MalformedRequest(reason="its target has a fragment")
    if target.startswith(b"/") or (target == b"*" and method == b"OPTIONS"):
        return target
    try:
        url = httptools.parse_url(target)
    except httptools.HttpParserInvalidURLError as error:
        raise MalformedRequest(reason=f"its target is {_shown(target)}") from error
    # What the target does not have is None, whatever the types of the library say.
    is_http = (url.schema or b"").lower() in (b"http", b"https")
    if not is_http or not url.host or url.userinfo:
        raise MalformedRequest(
            reason=f"its target is {_shown(target)}, and not a path or the address of one"
        )
    return (url.path or b"/") + (b"?" + url.query if url.query else b"")


def _shown(value: bytes) -> str:
    return repr(value[:100].decode("latin-1"))
