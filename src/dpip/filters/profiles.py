"""Colour profiles, and colours that are declared without one."""

from functools import lru_cache
from itertools import product
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyvips

PROFILE = "icc-profile-data"
"""The name under which libvips keeps a picture's profile."""

STAND_IN = "dpip-profile-stands-in"
"""Set on a picture whose profile says what its file declares by other means."""

WIDE_GAMUT = "dpip-wide-gamut"
"""Set on a picture whose values mean more light and colour than sRGB has (ITU-R BT.2100)."""

_LONGEST = 1 << 16
"""Bytes of a profile that is looked at and remembered; those of sRGB have a few thousand."""

_LEVELS = range(0, 256, 51)
_PROBE = bytes(level for colour in product(_LEVELS, repeat=3) for level in colour)


def has_other_colours(image: "pyvips.Image") -> bool:
    """Whether ``image`` has a profile by which its colours are others than in sRGB."""
    return bool(image.get_typeof(PROFILE)) and not is_srgb(image.get(PROFILE))


def is_srgb(profile: bytes) -> bool:
    """Whether ``profile`` means by a colour what sRGB does, to a step of eight bits.

    Most pictures say that they are in sRGB, by one of many profiles, so what it makes of colours
    all over the cube is compared.
    """
    return len(profile) <= _LONGEST and _keeps_colours(profile)


@lru_cache(maxsize=16)
def _keeps_colours(profile: bytes) -> bool:
    from dpip.filters.libvips import pyvips  # What there is of filters is known without libvips.

    probe = pyvips.Image.new_from_memory(_PROBE, len(_PROBE) // 3, 1, 3, "uchar")
    probe = probe.copy(interpretation="srgb")
    probe.set_type(pyvips.GValue.blob_type, PROFILE, profile)
    try:
        meant = probe.icc_transform("srgb", embedded=True)
        return bool((meant - probe).abs().max() <= 1)
    except pyvips.Error:
        return False
