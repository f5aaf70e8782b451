"""How filtering a picture can fail."""

import errno
import os
from typing import ClassVar

from dpip.errors import DpipError
from dpip.model.job import Failure, FailureCode

LONGEST_REASON = 300
"""Characters."""


class FilterError(DpipError):
    """A picture could not be filtered; ``reason`` is a sentence."""

    code = FailureCode.FILTER_FAILED
    status = 422
    sentence: ClassVar[str] = "{reason}"

    def __init__(self, *, reason: str) -> None:
        super().__init__(reason=reason)

    @property
    def failure(self) -> Failure:
        """The error as data."""
        return Failure(code=FailureCode(self.code), reason=str(self))


class DecodeFailed(FilterError):
    """The picture is damaged, cut off, or of a kind that libvips does not read."""

    code = FailureCode.DECODE_FAILED


class FilterFailed(FilterError):
    """The picture can be read, but not filtered or not written again."""


class CannotWrite(DpipError):
    """The disk does not take the result; that is no fault of the picture."""

    code = "cannot_write"
    sentence = "The result cannot be written: {reason}"


class OutOfMemory(FilterError):
    """There was not enough memory for the picture."""

    code = FailureCode.OUT_OF_MEMORY


def cannot_write(why: str) -> DpipError:
    """The failure of a result that the system does not take, in its words ``why``."""
    if os.strerror(errno.EFBIG) in why:
        return FilterFailed(reason="The result is longer than a file may be.")
    return CannotWrite(reason=why[:LONGEST_REASON])
