"""Small pictures, each different from the next."""

import numpy
import pyvips

SIZE = 96


def picture(number: int, *, suffix: str = ".png", size: int = SIZE) -> bytes:
    """A colourful picture that tells its number by the red of its first pixel."""
    noise = numpy.random.default_rng(number).integers(0, 256, (size, size, 3), dtype=numpy.uint8)
    noise[:8, :8] = (number, 255 - number, 128)
    written: bytes = pyvips.Image.new_from_array(noise).write_to_buffer(suffix)
    return written


def pixels(content: bytes) -> numpy.ndarray:
    """The pixels of a picture, as rows of columns of bands."""
    array: numpy.ndarray = pyvips.Image.new_from_buffer(content, "").numpy()
    return array
