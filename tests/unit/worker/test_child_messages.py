import math

import msgspec
import pytest

from dpip.model.image import PictureFormat, PictureHeader
from dpip.worker.child_messages import LENGTH, Filtered, decode_answer, framed

HEADER = PictureHeader(format=PictureFormat.PNG, width=1, height=1)


@pytest.mark.parametrize("milliseconds", [-1.0, math.inf, math.nan, 1e10])
def test_a_child_cannot_make_up_a_cost(milliseconds: float) -> None:
    """What no picture takes is no answer, so that the scheduler never hears of it."""
    for made_up in (
        Filtered(milliseconds=milliseconds, cpu_milliseconds=1, header=HEADER),
        Filtered(milliseconds=1, cpu_milliseconds=milliseconds, header=HEADER),
    ):
        with pytest.raises(msgspec.DecodeError):
            decode_answer(framed(made_up)[LENGTH.size :])
