"""Colours declared by code points (ITU-T H.273), or by gamma and chromaticities, as ICC profiles.

A profile is made for such a declaration so that colours can be brought to sRGB by it.
"""

import struct
from functools import lru_cache
from typing import NamedTuple

Chromaticity = tuple[float, float]
Matrix = tuple[tuple[float, ...], ...]

_D65 = (0.3127, 0.3290)
_SRGB_PRIMARIES = ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060))
_P3 = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))
_SMPTE_170M = ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070))
_ILLUMINANT_C = (0.310, 0.316)
_UNSPECIFIED = 2
_PRIMARIES = {
    1: (*_SRGB_PRIMARIES, _D65),
    _UNSPECIFIED: (*_SRGB_PRIMARIES, _D65),
    4: ((0.67, 0.33), (0.21, 0.71), (0.14, 0.08), _ILLUMINANT_C),
    5: ((0.64, 0.33), (0.29, 0.60), (0.15, 0.06), _D65),
    6: (*_SMPTE_170M, _D65),
    7: (*_SMPTE_170M, _D65),
    8: ((0.681, 0.319), (0.243, 0.692), (0.145, 0.049), _ILLUMINANT_C),
    9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), _D65),
    11: (*_P3, (0.314, 0.351)),
    12: (*_P3, _D65),
    22: ((0.630, 0.340), (0.295, 0.605), (0.155, 0.077), _D65),
}
_GAMMAS = {4: 2.2, 5: 2.8, 8: 1.0}
_HDR_TRANSFERS = {16, 18}
_LIKE_SRGB = {1, _UNSPECIFIED, 6, 13, 14, 15}
"""Cameras' curves are meant for the displays that sRGB describes, and viewers show them so."""

_USUAL_GAMMA, _GAMMA_TOLERANCE = 2.2, 0.03
_SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)

# From CIE XYZ to the cones of Bradford, and the white of profiles.
_BRADFORD: Matrix = (
    (0.8951, 0.2664, -0.1614),
    (-0.7502, 1.7135, 0.0367),
    (0.0389, -0.0685, 1.0296),
)
_D50_XYZ = (0.9642, 1.0, 0.8249)


class Colours(NamedTuple):
    """How the values of a picture are meant: where red, green, blue and white lie in CIE 1931 xy.

    ``gamma`` is the exponent that makes light of values; ``None`` is the curve of sRGB.
    """

    red: Chromaticity
    green: Chromaticity
    blue: Chromaticity
    white: Chromaticity
    gamma: float | None

    @property
    def are_srgb(self) -> bool:
        """Whether they are those of sRGB, to what a file can say."""
        points = (self.red, self.green, self.blue, self.white)
        expected = (*_SRGB_PRIMARIES, _D65)
        return self.gamma is None and all(
            abs(has - wanted) <= 0.002
            for point, other in zip(points, expected, strict=True)
            for has, wanted in zip(point, other, strict=True)
        )


class Cicp(NamedTuple):
    """Code points of colour primaries and of transfer characteristics."""

    primaries: int
    transfer: int

    @property
    def is_hdr(self) -> bool:
        """Whether values mean light brighter than white (PQ or HLG)."""
        return self.transfer in _HDR_TRANSFERS

    @property
    def colours(self) -> Colours | None:
        """What they mean; ``None`` if no profile can say it."""
        points = _PRIMARIES.get(self.primaries)
        if points is None or not (self.transfer in _LIKE_SRGB or self.transfer in _GAMMAS):
            return None
        return Colours(*points, _GAMMAS.get(self.transfer))


SRGB = Colours(*_SRGB_PRIMARIES, _D65, None)


def colours_of_gamma(gamma: float, chromaticities: tuple[float, ...] | None) -> Colours:
    """What the chunks ``gAMA`` and ``cHRM`` of a PNG mean; ``gamma`` is as in the file."""
    exponent: float | None = 1 / gamma
    if abs(1 / gamma - _USUAL_GAMMA) < _GAMMA_TOLERANCE:
        exponent = None
    if chromaticities is None:
        return Colours(*_SRGB_PRIMARIES, _D65, exponent)
    white, red, green, blue = zip(chromaticities[::2], chromaticities[1::2], strict=True)
    return Colours(red, green, blue, white, exponent)


@lru_cache(maxsize=16)
def profile_of(colours: Colours) -> bytes | None:
    """An ICC profile (ICC.1:2010) of ``colours``; ``None`` if they are no colours at all."""
    try:
        columns = _columns(colours)
    except ZeroDivisionError:
        return None
    if colours.gamma is None:
        curve = struct.pack(">4s4xHxx5l", b"para", 3, *map(_fixed, _SRGB_CURVE))
    else:
        curve = struct.pack(">4s4xHxxl", b"para", 0, _fixed(colours.gamma))
    tags = {b"wtpt": _xyz(_D50_XYZ)}
    for name, column in zip(b"rgb", columns, strict=True):
        tags[bytes([name]) + b"XYZ"] = _xyz(column)
        tags[bytes([name]) + b"TRC"] = curve
    table, body = b"", b""
    start = 128 + 4 + 12 * len(tags)
    for tag, content in tags.items():
        table += struct.pack(">4sLL", tag, start + len(body), len(content))
        body += content
    return (
        struct.pack(
            ">L4xL4s4s4s12x4s28x3l48x",
            start + len(body),
            0x04300000,
            b"mntr",
            b"RGB ",
            b"XYZ ",
            b"acsp",
            *map(_fixed, _D50_XYZ),
        )
        + struct.pack(">L", len(tags))
        + table
        + body
    )


def _columns(colours: Colours) -> Matrix:
    """XYZ of red, green and blue, under the white of profiles."""
    primaries = tuple(zip(*map(_to_xyz, colours[:3]), strict=True))
    white = _to_xyz(colours.white)
    weights = _times(_inverse(primaries), white)
    adapted = _adaptation(white)
    return tuple(
        _times(adapted, tuple(part * weight for part in column))
        for column, weight in zip(zip(*primaries, strict=True), weights, strict=True)
    )


def _adaptation(white: tuple[float, ...]) -> Matrix:
    """From colours under ``white`` to those under that of profiles, after Bradford."""
    gains = [
        to / of
        for to, of in zip(_times(_BRADFORD, _D50_XYZ), _times(_BRADFORD, white), strict=True)
    ]
    scaled = [[gain * part for part in row] for gain, row in zip(gains, _BRADFORD, strict=True)]
    columns = [_times(_inverse(_BRADFORD), column) for column in zip(*scaled, strict=True)]
    return tuple(zip(*columns, strict=True))


def _to_xyz(point: Chromaticity) -> tuple[float, ...]:
    x, y = point
    return x / y, 1.0, (1 - x - y) / y


def _times(matrix: Matrix, vector: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(sum(a * b for a, b in zip(row, vector, strict=True)) for row in matrix)


def _inverse(matrix: Matrix) -> Matrix:
    (a, b, c), (d, e, f), (g, h, i) = matrix
    determinant = a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)
    adjugate = (
        (e * i - f * h, c * h - b * i, b * f - c * e),
        (f * g - d * i, a * i - c * g, c * d - a * f),
        (d * h - e * g, b * g - a * h, a * e - b * d),
    )
    return tuple(tuple(part / determinant for part in row) for row in adjugate)


def _fixed(value: float) -> int:
    """As s15Fixed16Number."""
    return max(-(2**31), min(2**31 - 1, round(value * 65536)))


def _xyz(value: tuple[float, ...]) -> bytes:
    return struct.pack(">4s4x3l", b"XYZ ", *map(_fixed, value))
