import pytest

from dpip.api.picture_limits import check_limits
from dpip.errors import InvalidValue
from dpip.model.image import PictureFormat, PictureHeader
from tests.unit.api.settings import SETTINGS


def header(width: int, height: int, **facts: int) -> PictureHeader:
    return PictureHeader(format=PictureFormat.TIFF, width=width, height=height, **facts)


@pytest.mark.parametrize(
    "fine",
    [
        header(10, 10),
        header(5, 10, frames=2),
        header(10, 10, bands=8),
        header(10, 10, bands=8, depth=64),
    ],
)
def test_a_picture_may_be_as_large_as_its_limits(fine: PictureHeader) -> None:
    """Up to and with the limit."""
    check_limits(fine, SETTINGS)


@pytest.mark.parametrize(
    ("picture", "setting", "value"),
    [
        (header(101, 1), "limits.pixels", "101 x 1"),
        (header(1, 1, frames=101), "limits.pixels", "101 frames"),
        (header(10, 10, bands=9), "limits.channels", "9 channels"),
        (header(5, 10, frames=2, depth=32), "limits.animation_bytes", "32 bits"),
    ],
)
def test_a_picture_beyond_a_limit_is_refused(
    picture: PictureHeader, setting: str, value: str
) -> None:
    """The error names the setting, and what the picture declares."""
    with pytest.raises(InvalidValue) as caught:
        check_limits(picture, SETTINGS)
    assert f"the setting is {setting}" in str(caught.value)
    assert value in str(caught.value)
