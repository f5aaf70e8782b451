"""What the channels of a TIFF are, which libvips tells by their number alone."""

import struct

from dpip.filters.exif import Exif
from dpip.filters.failures import DecodeFailed
from dpip.filters.libvips import pyvips
from dpip.model.note import Note

_PHOTOMETRIC, _EXTRA_SAMPLES, _INK_SET = 262, 338, 332
SAMPLE_FIELDS = {_PHOTOMETRIC, _EXTRA_SAMPLES, _INK_SET}
"""Tags of the fields that say it."""

_BLACK_IS_ZERO, _SEPARATED, _CMYK = 1, 5, 1
_COLOURS = {0: 1, 1: 1, 2: 3, 3: 3, _SEPARATED: 4, 6: 3, 8: 3}
"""Channels of colour by photometric interpretation; libvips gives a palette its colours."""

_ASSOCIATED, _UNASSOCIATED = 1, 2


def name_channels(image: pyvips.Image, fields: Exif) -> tuple[pyvips.Image, tuple[Note, ...]]:
    """``image`` with its colours, and its opacity behind them if it has one; and what is dropped.

    Raises ``DecodeFailed`` for channels of which too little is known.
    """
    colours = _colours(fields)
    if image.bands <= colours:
        return image, ()
    extra = _numbers(fields, _EXTRA_SAMPLES)
    alphas = [at for at, kind in enumerate(extra) if kind in (_ASSOCIATED, _UNASSOCIATED)]
    if len(extra) > 1 and _ASSOCIATED in extra:
        # libvips has divided the colours by whichever channel is the last.
        raise DecodeFailed(
            reason="A TIFF with associated alpha (ExtraSamples 1) beside other extra channels is "
            "not supported."
        )
    kept = image.extract_band(0, n=colours)
    if not alphas or colours + alphas[0] >= image.bands:
        return kept, (Note.CHANNELS_DROPPED,)
    alpha = image[colours + alphas[0]]
    if image.interpretation == "labs":
        alpha = (alpha.copy(format="ushort") >> 1).cast("short")
    notes = (Note.CHANNELS_DROPPED,) if image.bands > colours + 1 else ()
    return kept.bandjoin(alpha), notes


def with_alpha_of_tiff(image: pyvips.Image) -> pyvips.Image:
    """``image`` for the saver of TIFFs: beside CIELAB of 16 bits it writes alpha as it finds it."""
    if image.interpretation != "labs" or not image.hasalpha():
        return image
    colours, alpha = image.extract_band(0, n=image.bands - 1), image[image.bands - 1]
    whole = (alpha.cast("ushort") << 1) + (alpha >> 14)
    return colours.bandjoin(whole.cast("ushort").copy(format="short"))


def _colours(fields: Exif) -> int:
    """How many channels are colours."""
    photometric = (_numbers(fields, _PHOTOMETRIC) or (_BLACK_IS_ZERO,))[0]
    inks = (_numbers(fields, _INK_SET) or (_CMYK,))[0]
    if photometric not in _COLOURS:
        raise DecodeFailed(
            reason=f"A TIFF with photometric interpretation {photometric} is not supported."
        )
    if photometric == _SEPARATED and inks != _CMYK:
        raise DecodeFailed(
            reason=f"A TIFF with inks other than CMYK (InkSet {inks}) is not supported."
        )
    return _COLOURS[photometric]


def _numbers(fields: Exif, tag: int) -> tuple[int, ...]:
    field = fields.directory.get(tag)
    if field is None or field.kind != 3 or not isinstance(field.value, bytes):
        return ()
    return struct.unpack(f"{fields.order}{field.numbers}H", field.value)
