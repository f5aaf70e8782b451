"""A ``multipart/form-data`` body (RFC 7578), taken apart as its bytes come in."""

import logging

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from dpip.errors import InvalidValue, MalformedRequest, UnsupportedMediaType

MEDIA_TYPE = "multipart/form-data"
FILE_FIELDS = ("data", "file", "image")

_MOST_FIELDS = 32
_FIELD_BYTES = 4096
_ONE_FILE = "one file is sent, as field data"

# What is wrong with a body is told to whoever sent it.
logging.getLogger("python_multipart").setLevel(logging.CRITICAL)


class MultipartForm:
    """Collects the text fields of a form in ``fields`` and gives the bytes of its one file away.

    The parts may come in any order, the body in pieces of any size.
    """

    def __init__(self, content_type: str) -> None:
        """Take the ``Content-Type`` of the body.

        Raises ``UnsupportedMediaType`` for another type, ``MalformedRequest`` without a boundary.
        """
        media_type, options = parse_options_header(content_type)
        if media_type != MEDIA_TYPE.encode():
            raise UnsupportedMediaType(value=content_type, allowed=MEDIA_TYPE)
        boundary = options.get(b"boundary")
        if not boundary:
            raise MalformedRequest(reason="its Content-Type names no boundary")
        self.fields: dict[str, str] = {}
        self.has_file = False
        self.has_ended = False
        self._in_file = False
        self._name = ""
        self._value = bytearray()
        self._header_name = b""
        self._header_value = b""
        self._disposition = b""
        self._of_file: list[bytes] = []
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin_part,
                    "on_header_field": self._header_field,
                    "on_header_value": self._more_header_value,
                    "on_header_end": self._end_header,
                    "on_headers_finished": self._begin_content,
                    "on_part_data": self._content,
                    "on_part_end": self._end_part,
                    "on_end": self._end,
                },
            )
        except FormParserError as error:
            raise MalformedRequest(reason=error) from error

    def feed(self, chunk: bytes) -> list[bytes]:
        """Take the next bytes of the body, and return those that belong to the file.

        Raises ``MalformedRequest``, or ``InvalidValue`` for a second file or value of a field.
        """
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise MalformedRequest(reason=f"the form is broken: {error}") from error
        of_file, self._of_file = self._of_file, []
        return of_file

    def finish(self) -> None:
        """Take note that there are no more bytes. Raises ``MalformedRequest`` if some are due."""
        if not self.has_ended:
            raise MalformedRequest(reason="the form ends before its last boundary")

    def _begin_part(self) -> None:
        self._disposition = self._header_name = self._header_value = b""
        self._value.clear()

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _more_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _end_header(self) -> None:
        if self._header_name.lower() == b"content-disposition":
            self._disposition = self._header_value
        self._header_name = self._header_value = b""

    def _begin_content(self) -> None:
        # Read as Latin-1, which any bytes are, and written back as the bytes they were.
        _, options = parse_options_header(self._disposition.decode("latin-1"))
        self._name = _text(options.get(b"name", b""), "the name of a field")
        self._in_file = self._name in FILE_FIELDS
        if self._in_file and self.has_file:
            raise InvalidValue(field=self._name, value="a second file", allowed=_ONE_FILE)
        if not self._in_file and b"filename" in options:
            raise InvalidValue(field=self._name, value="a file", allowed=_ONE_FILE)
        if self._name in self.fields:
            raise InvalidValue(field=self._name, value="several values", allowed="it has one")
        if len(self.fields) == _MOST_FIELDS:
            raise MalformedRequest(reason=f"the form has more than {_MOST_FIELDS} fields")
        self.has_file = self.has_file or self._in_file

    def _content(self, data: bytes, start: int, end: int) -> None:
        if self._in_file:
            self._of_file.append(data[start:end])
            return
        self._value += data[start:end]
        if len(self._value) > _FIELD_BYTES:
            raise MalformedRequest(
                reason=f"field {self._name!r} has more than {_FIELD_BYTES} bytes"
            )

    def _end_part(self) -> None:
        if not self._in_file:
            self.fields[self._name] = _text(bytes(self._value), f"field {self._name!r}")

    def _end(self) -> None:
        self.has_ended = True


def _text(content: bytes, what: str) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise MalformedRequest(reason=f"{what} is not in UTF-8") from error
