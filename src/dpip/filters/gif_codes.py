"""The pixels of a GIF, decoded only to see that they are all there."""

from PIL import Image

from dpip.formats.byte_reader import ByteReader, Malformed
from dpip.formats.gif import GifFrame, gif_frames

_MOST_PIXELS = 1 << 27
"""Of one frame; they are held in memory, a byte each."""


def check_gif_codes(reader: ByteReader) -> None:
    """Raise ``Malformed`` unless the codes of every frame stand for all of its pixels.

    libvips leaves out the pixels after a code that cannot be, and says nothing. A pixel of a colour
    that is not in the table is one that decoders do not agree about.
    """
    for number, frame in enumerate(gif_frames(reader), start=1):
        reader.seek(frame.begin)
        (bits,) = reader.read(1)
        codes = reader.read(frame.end - reader.position)
        if frame.width * frame.height > _MOST_PIXELS or not _is_whole(frame, bits, codes):
            raise Malformed(f"frame {number} is damaged")


def _is_whole(frame: GifFrame, bits: int, codes: bytes) -> bool:
    size = frame.width, frame.height
    try:
        pixels = Image.frombytes("L", size, codes, "gif", bits, frame.is_interlaced)
    except (ValueError, OSError):
        return False
    if not frame.colours or 1 << min(bits, 8) <= frame.colours:
        return True
    used = [index for index, count in enumerate(pixels.histogram()) if count]
    return all(index < frame.colours or index == frame.see_through for index in used)
