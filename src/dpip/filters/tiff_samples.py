"""What the channels of a TIFF are, which libvips tells by their number alone."""

import struct

from dpip.filters.alpha import opaque, rounded
from dpip.filters.exif import Exif
from dpip.filters.failures import DecodeFailed
from dpip.filters.libvips import pyvips
from dpip.model.note import Note

_PHOTOMETRIC, _EXTRA_SAMPLES, _INK_SET = 262, 338, 332
SAMPLE_FIELDS = {_PHOTOMETRIC, _EXTRA_SAMPLES, _INK_SET}
"""Tags of the fields that say it."""

_SEPARATED, _CMYK = 5, 1
_COLOURS = {0: 1, 1: 1, 2: 3, 3: 3, _SEPARATED: 4, 6: 3, 8: 3}
"""Channels of colour by photometric interpretation; libvips gives a palette its colours."""

_ASSOCIATED, _UNASSOCIATED = 1, 2


def has_associated_alpha(fields: Exif) -> bool:
    """Whether colours are stored multiplied by their opacity."""
    opacity = _alpha_among(fields)
    return opacity is not None and _numbers(fields, _EXTRA_SAMPLES)[opacity] == _ASSOCIATED


def name_channels(image: pyvips.Image, fields: Exif) -> tuple[pyvips.Image, tuple[Note, ...]]:
    """``image`` with its colours, and its opacity behind them if it has one; and what is dropped.

    Colours that were multiplied by their opacity are divided by it. Raises ``DecodeFailed`` for
    channels of which nothing is known.
    """
    photometric = (_numbers(fields, _PHOTOMETRIC) or (1,))[0]
    inks = (_numbers(fields, _INK_SET) or (_CMYK,))[0]
    colours = _COLOURS.get(photometric)
    if colours is None or (photometric == _SEPARATED and inks != _CMYK):
        kind = f"inks other than CMYK (InkSet {inks})" if colours else f"kind {photometric}"
        raise DecodeFailed(
            reason=f"TIFFs with a photometric interpretation of {kind} are not read."
        )
    if image.bands <= colours:
        return image, ()
    opacity = _alpha_among(fields)
    notes = (Note.CHANNELS_DROPPED,) if image.bands > colours + (opacity is not None) else ()
    kept = image.extract_band(0, n=colours)
    if opacity is None or colours + opacity >= image.bands:
        return kept, notes
    alpha = image[colours + opacity]
    if image.interpretation == "labs":
        alpha = alpha.copy(format="ushort") >> 1
    kept = kept.bandjoin(alpha.cast(image.format))
    if has_associated_alpha(fields):
        kept = rounded(kept.unpremultiply(max_alpha=opaque(kept)), kept)
    return kept, notes


def with_alpha_of_tiff(image: pyvips.Image) -> pyvips.Image:
    """``image`` for the saver of TIFFs: beside CIELAB of 16 bits it writes alpha as it finds it."""
    if image.interpretation != "labs" or not image.hasalpha():
        return image
    colours, alpha = image.extract_band(0, n=image.bands - 1), image[image.bands - 1]
    whole = (alpha.cast("ushort") << 1) + (alpha >> 14)
    return colours.bandjoin(whole.cast("ushort").copy(format="short"))


def _alpha_among(fields: Exif) -> int | None:
    """Which of the channels beyond the colours is opacity."""
    for at, kind in enumerate(_numbers(fields, _EXTRA_SAMPLES)):
        if kind in (_ASSOCIATED, _UNASSOCIATED):
            return at
    return None


def _numbers(fields: Exif, tag: int) -> tuple[int, ...]:
    field = fields.directory.get(tag)
    if field is None or field.kind != 3 or not isinstance(field.value, bytes):
        return ()
    return struct.unpack(f"{fields.order}{field.numbers}H", field.value)
