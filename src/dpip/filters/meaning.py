"""What the samples of a picture mean, made plain: channels, profile and declared colours."""

from dpip.filters.cicp import profile_of
from dpip.filters.declared import Declared
from dpip.filters.libvips import pyvips
from dpip.filters.profile_check import has_unfit_profile
from dpip.filters.profiles import PROFILE, STAND_IN, WIDE_GAMUT
from dpip.filters.tiff_samples import name_channels
from dpip.model.image import PictureFormat
from dpip.model.note import Note

_PROFILED = {"srgb", "rgb16"}


def made_plain(
    image: pyvips.Image,
    format: PictureFormat,  # noqa: A002
    declared: Declared,
) -> tuple[pyvips.Image, tuple[Note, ...]]:
    """``image`` as filters take it, and what it has lost by that.

    Its channels are its colours and at most opacity behind them; it has a profile if its colours
    are others than those of sRGB, whichever way its file declares them. Raises ``DecodeFailed``.
    """
    notes: tuple[Note, ...] = ()
    if format is PictureFormat.TIFF and declared.exif is not None:
        image, notes = name_channels(image, declared.exif)
    image = image.copy()
    if has_unfit_profile(image):
        image.remove(PROFILE)
        notes = (*notes, Note.PROFILE_IGNORED)
    _add_stand_in(image, declared)
    return image, notes


def _add_stand_in(image: pyvips.Image, declared: Declared) -> None:
    if declared.cicp is not None and declared.cicp.is_hdr:
        image.set_type(pyvips.GValue.gint_type, WIDE_GAMUT, 1)
        return
    colours = declared.colours
    if colours is None or colours.are_srgb or image.interpretation not in _PROFILED:
        return
    if image.get_typeof(PROFILE) and declared.cicp is None:
        return
    if profile := profile_of(colours):
        image.set_type(pyvips.GValue.blob_type, PROFILE, profile)
        image.set_type(pyvips.GValue.gint_type, STAND_IN, 1)
