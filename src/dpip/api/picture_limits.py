"""How large a picture may be, by what its header declares."""

from dpip.api.settings import ApiSettings
from dpip.errors import InvalidValue
from dpip.model.image import PictureHeader


def check_limits(header: PictureHeader, settings: ApiSettings) -> None:
    """Raise ``InvalidValue``, which names the setting, if a picture is larger than one may be.

    A still picture is decoded line by line. The frames of an animation are all held at once, and a
    filter needs several times their bytes, so they have a limit of their own.
    """
    size = f"{header.width} x {header.height} x {header.frames} frames"
    deep = f"{size} of {header.bands} channels with {header.depth} bits"
    if header.pixels > settings.pixels:
        raise _too_much(size, settings.pixels, "pixels", "pixels")
    if header.bands > settings.channels:
        raise _too_much(deep, settings.channels, "channels", "channels")
    if header.frames > 1 and header.decoded_bytes > settings.animation_bytes:
        raise _too_much(deep, settings.animation_bytes, "bytes of all frames", "animation_bytes")


def _too_much(value: str, most: int, what: str, setting: str) -> InvalidValue:
    return InvalidValue(
        field="data",
        value=value,
        allowed=f"at most {most} {what}; the setting is limits.{setting}",
    )
