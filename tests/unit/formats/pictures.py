"""Small pictures in all variants of the formats, made by libvips."""

from collections.abc import Callable
from typing import Any

import pyvips

from dpip.model.image import PictureFormat as F
from dpip.model.image import PictureHeader

WIDTH, HEIGHT = 37, 23


def scene(bands: int = 3, depth: int = 8) -> Any:
    plane = pyvips.Image.xyz(WIDTH, HEIGHT)
    rgb = (plane[0] * 6).bandjoin([plane[1] * 10, plane[0] + plane[1]])[:bands]
    image = rgb if bands <= 3 else rgb.bandjoin(plane[0] * 6)
    colour = bands > 2
    if depth == 16:
        return (image * 257).cast("ushort").copy(interpretation="rgb16" if colour else "grey16")
    return image.cast("uchar").copy(interpretation="srgb" if colour else "b-w")


def animated(frames: int) -> Any:
    tall = pyvips.Image.arrayjoin(
        [scene().invert() if i % 2 else scene() for i in range(frames)], across=1
    ).copy()
    tall.set_type(pyvips.GValue.gint_type, "page-height", HEIGHT)
    tall.set_type(pyvips.GValue.array_int_type, "delay", [40 + 10 * i for i in range(frames)])
    return tall


def rotated(orientation: int) -> Any:
    image = scene().copy()
    image.set_type(pyvips.GValue.gint_type, "orientation", orientation)
    return image


def to_bytes(image: Any, suffix: str, **options: Any) -> bytes:
    return bytes(image.write_to_buffer(suffix, **options))


def header(kind: F, **facts: int) -> PictureHeader:
    return PictureHeader(format=kind, width=WIDTH, height=HEIGHT, **facts)


def big_endian_tiff(pages: int = 1) -> bytes:
    content = b"MM\0*" + (8).to_bytes(4, "big")
    for page in range(1, pages + 1):
        entries = b"".join(
            tag.to_bytes(2, "big")
            + b"\0\3"
            + (1).to_bytes(4, "big")
            + value.to_bytes(2, "big")
            + b"\0\0"
            for tag, value in ((256, WIDTH), (257, HEIGHT), (258, 8), (262, 1), (277, 1))
        )
        after = len(content) + 2 + len(entries) + 4 if page < pages else 0
        content += (5).to_bytes(2, "big") + entries + after.to_bytes(4, "big")
    return content


def small_screen_gif() -> bytes:
    """A GIF whose first image reaches beyond its logical screen."""
    content = to_bytes(scene(), ".gif")
    return content[:6] + bytes([5, 0, 5, 0]) + content[10:]


def two_widths_tiff() -> bytes:
    """A TIFF with two widths, of which decoders take the first."""
    content = to_bytes(scene(), ".tif")
    at = int.from_bytes(content[4:8], "little")
    count = int.from_bytes(content[at : at + 2], "little")
    width, others = content[at + 2 : at + 14], content[at + 14 : at + 2 + 12 * count]
    wider = width[:8] + (2 * WIDTH).to_bytes(4, "little")
    directory = (count + 1).to_bytes(2, "little") + width + wider + others + bytes(4)
    return content[:4] + len(content).to_bytes(4, "little") + content[8:] + directory


PICTURES: dict[str, tuple[Callable[[], bytes], PictureHeader]] = {
    "jpeg": (lambda: to_bytes(scene(), ".jpg"), header(F.JPEG)),
    "jpeg gray": (lambda: to_bytes(scene(1), ".jpg"), header(F.JPEG, bands=1)),
    "jpeg progressive": (lambda: to_bytes(scene(), ".jpg", interlace=True), header(F.JPEG)),
    "jpeg on its side": (lambda: to_bytes(rotated(6), ".jpg"), header(F.JPEG)),
    "png": (lambda: to_bytes(scene(), ".png"), header(F.PNG)),
    "png alpha": (lambda: to_bytes(scene(4), ".png"), header(F.PNG, bands=4)),
    "png 16": (lambda: to_bytes(scene(depth=16), ".png"), header(F.PNG, depth=16)),
    "png palette": (lambda: to_bytes(scene(), ".png", palette=True), header(F.PNG)),
    "png gray": (lambda: to_bytes(scene(1), ".png"), header(F.PNG, bands=1)),
    "webp": (lambda: to_bytes(scene(), ".webp"), header(F.WEBP)),
    "webp bare": (lambda: to_bytes(scene(), ".webp", keep="none"), header(F.WEBP)),
    "webp lossless": (
        lambda: to_bytes(scene(), ".webp", lossless=True, keep="none"),
        header(F.WEBP),
    ),
    "webp lossless alpha": (
        lambda: to_bytes(scene(4), ".webp", lossless=True, keep="none"),
        header(F.WEBP, bands=4),
    ),
    "webp animated": (lambda: to_bytes(animated(3), ".webp"), header(F.WEBP, frames=3)),
    "gif": (lambda: to_bytes(scene(), ".gif"), header(F.GIF)),
    "gif on a small screen": (small_screen_gif, header(F.GIF)),
    "gif animated": (lambda: to_bytes(animated(4), ".gif"), header(F.GIF, frames=4)),
    "tiff": (lambda: to_bytes(scene(), ".tif"), header(F.TIFF)),
    "tiff lzw 16": (
        lambda: to_bytes(scene(depth=16), ".tif", compression="lzw"),
        header(F.TIFF, depth=16),
    ),
    "tiff big": (lambda: to_bytes(scene(), ".tif", bigtiff=True), header(F.TIFF)),
    "tiff pages": (lambda: to_bytes(animated(3), ".tif"), header(F.TIFF, frames=3)),
    "tiff of two widths": (two_widths_tiff, header(F.TIFF)),
    "tiff big-endian": (lambda: big_endian_tiff(2), header(F.TIFF, frames=2, bands=1)),
    "avif": (lambda: to_bytes(scene(), ".avif", effort=0), header(F.AVIF)),
    "avif alpha": (lambda: to_bytes(scene(4), ".avif", effort=0), header(F.AVIF, bands=4)),
}
