"""What a result carries beside its pixels: metadata and declared colours."""

from typing import NamedTuple

from dpip.filters.cicp import Cicp
from dpip.filters.declared import Declared
from dpip.filters.exif import EXIF_NAME, Exif, write_exif
from dpip.filters.libvips import pyvips
from dpip.filters.metadata import keeps_chunk, kept_exif
from dpip.filters.png_chunks import Chunk
from dpip.filters.profiles import PROFILE

_LONGEST_BLOCK = 0xFFFF - 2 - len(EXIF_NAME)


class Carried(NamedTuple):
    """EXIF, or the fields of a TIFF; the chunks of a PNG; code points of colours.

    ``everything``: XMP, IPTC and comments too, which libvips writes.
    """

    exif: Exif | None = None
    chunks: tuple[Chunk, ...] = ()
    cicp: Cicp | None = None
    everything: bool = False

    @property
    def block(self) -> bytes:
        """EXIF as bytes; none of what would not fit into a JPEG, nor into what libvips writes."""
        block = write_exif(self.exif) if self.exif else b""
        return block if len(block) <= _LONGEST_BLOCK else b""


def carried_by(
    image: pyvips.Image, original: pyvips.Image, declared: Declared, *, everything: bool
) -> Carried:
    """What ``image``, made of ``original``, carries of what that one ``declared``."""
    # Whoever brings colours elsewhere takes their profile away.
    same_colours = bool(image.get_typeof(PROFILE)) == bool(original.get_typeof(PROFILE))
    exif = declared.exif and kept_exif(
        declared.exif,
        image.width,
        image.get_page_height(),
        everything=everything,
        resolution=(image.xres, image.yres),
    )
    return Carried(
        exif=exif,
        chunks=tuple(
            chunk
            for chunk in declared.chunks
            if (same_colours and chunk.declares_colours)
            or keeps_chunk(chunk, everything=everything)
        ),
        cicp=declared.cicp if same_colours else None,
        everything=everything,
    )
