"""Small pictures in every format and every way to lay one out in a file."""

import io
from collections.abc import Callable
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image

from dpip.filters.libvips import pyvips
from dpip.model.image import PictureFormat as F
from tests.integration.filters.pictures import tall

WIDTH, HEIGHT = 96, 72
FRAMES = 3
_DATA = Path(__file__).parent / "data"


@cache
def photograph(bands: int = 3, depth: int = 8, seed: int = 0) -> Any:
    """Shades, and noise that does not compress, so that damage meets pixels."""
    down, across = np.mgrid[0:HEIGHT, 0:WIDTH]
    planes = [across * 2, down * 3, across + down, 255 - across * 2][:bands]
    noise = np.random.default_rng(seed).integers(0, 12, (HEIGHT, WIDTH, bands))
    pixels = np.clip(np.stack(planes, axis=2) + noise + 20 * seed, 0, 255).astype(np.uint8)
    return pixels.astype(np.uint16) * 257 if depth == 16 else pixels


def _vips(bands: int = 3, depth: int = 8, seed: int = 0) -> Any:
    kinds = {(1, 8): "b-w", (1, 16): "grey16", (3, 16): "rgb16", (4, 16): "rgb16"}
    image = pyvips.Image.new_from_array(photograph(bands, depth, seed))
    return image.copy(interpretation=kinds.get((bands, depth), "srgb"))


def _frames(count: int = FRAMES) -> list[Any]:
    return [Image.fromarray(photograph(seed=seed)) for seed in range(count)]


def by_libvips(
    suffix: str, bands: int = 3, depth: int = 8, pages: int = 1, **options: Any
) -> Callable[[], bytes]:
    def make() -> bytes:
        images = [_vips(bands, depth, seed) for seed in range(pages)]
        image = tall(images) if pages > 1 else images[0]
        return bytes(image.write_to_buffer(suffix, **options))

    return make


def by_pillow(kind: str, mode: str = "RGB", frames: int = 1, **options: Any) -> Callable[[], bytes]:
    def make() -> bytes:
        bands = 4 if mode == "RGBA" else 3
        first = Image.fromarray(photograph(bands))
        first = first.quantize(64) if mode == "P" else first.convert(mode)
        if frames > 1:
            first, *others = _frames(frames)
            options.update(save_all=True, append_images=others, duration=50)
        target = io.BytesIO()
        first.save(target, kind, **options)
        return target.getvalue()

    return make


def by_tifffile(separate: bool = False, **options: Any) -> Callable[[], bytes]:
    def make() -> bytes:
        pixels = photograph()
        if separate:
            pixels = np.ascontiguousarray(pixels.transpose(2, 0, 1))
            options["planarconfig"] = "separate"
        target = io.BytesIO()
        tifffile.imwrite(target, pixels, photometric="rgb", **options)
        return target.getvalue()

    return make


def stored(name: str) -> Callable[[], bytes]:
    return (_DATA / name).read_bytes


_COMPRESSIONS: dict[str, dict[str, Any]] = {
    "none": {},
    "lzw": {"predictor": "none"},
    "lzw predicted": {"predictor": "horizontal"},
    "deflate predicted": {"predictor": "horizontal"},
    "packbits": {},
    "jpeg": {"Q": 90},
}
_BLOCKS: dict[str, dict[str, Any]] = {
    "strips": {},
    "tiles": {"tile": True, "tile_width": 32, "tile_height": 32},
}
_TIFFS: dict[str, tuple[F, Callable[[], bytes]]] = {
    f"tiff {compression} {blocks} {bands} x {depth}": (
        F.TIFF,
        by_libvips(
            ".tif",
            bands,
            depth,
            compression=compression.split()[0],
            **_COMPRESSIONS[compression],
            **_BLOCKS[blocks],
        ),
    )
    for compression, blocks, (bands, depth) in product(
        _COMPRESSIONS, _BLOCKS, [(3, 8), (1, 8), (3, 16)]
    )
    if compression != "jpeg" or depth == 8
}

LAYOUTS: dict[str, tuple[F, Callable[[], bytes]]] = {
    "jpeg": (F.JPEG, by_pillow("JPEG", quality=90)),
    "jpeg without subsampling": (F.JPEG, by_pillow("JPEG", quality=90, subsampling=0)),
    "jpeg progressive": (F.JPEG, by_pillow("JPEG", quality=90, progressive=True)),
    "jpeg with restarts": (F.JPEG, by_pillow("JPEG", quality=90, restart_marker_rows=1)),
    "jpeg gray": (F.JPEG, by_pillow("JPEG", "L", quality=90)),
    "jpeg of inks": (F.JPEG, by_pillow("JPEG", "CMYK", quality=90)),
    "jpeg lossless": (F.JPEG, stored("lossless.jpg")),
    "png": (F.PNG, by_libvips(".png")),
    "png interlaced": (F.PNG, by_libvips(".png", interlace=True)),
    "png alpha": (F.PNG, by_libvips(".png", 4)),
    "png gray": (F.PNG, by_libvips(".png", 1)),
    "png palette": (F.PNG, by_pillow("PNG", "P")),
    "png 16": (F.PNG, by_libvips(".png", depth=16)),
    "png animated": (F.PNG, by_pillow("PNG", frames=FRAMES)),
    "webp": (F.WEBP, by_pillow("WEBP", quality=80)),
    "webp lossless": (F.WEBP, by_pillow("WEBP", lossless=True)),
    "webp alpha": (F.WEBP, by_pillow("WEBP", "RGBA", quality=80)),
    "webp animated": (F.WEBP, by_pillow("WEBP", frames=FRAMES, quality=80)),
    "webp animated lossless": (F.WEBP, by_pillow("WEBP", frames=FRAMES, lossless=True)),
    "gif": (F.GIF, by_pillow("GIF", "P", interlace=0)),
    "gif interlaced": (F.GIF, by_pillow("GIF", "P", interlace=1)),
    "gif animated": (F.GIF, by_pillow("GIF", frames=FRAMES)),
    "avif": (F.AVIF, by_pillow("AVIF", quality=80, speed=10)),
    "avif alpha": (F.AVIF, by_pillow("AVIF", "RGBA", quality=80, speed=10)),
    "avif animated": (F.AVIF, by_pillow("AVIF", frames=FRAMES, quality=80, speed=10)),
    **_TIFFS,
    "tiff planes": (F.TIFF, by_tifffile(separate=True, rowsperstrip=16)),
    "tiff planes deflate": (
        F.TIFF,
        by_tifffile(separate=True, rowsperstrip=16, compression="zlib"),
    ),
    "tiff big": (F.TIFF, by_libvips(".tif", bigtiff=True, compression="lzw")),
    "tiff big-endian": (F.TIFF, by_tifffile(byteorder=">", compression="zlib", rowsperstrip=16)),
    "tiff big-endian tiles": (
        F.TIFF,
        by_tifffile(byteorder=">", compression="zlib", tile=(32, 32)),
    ),
    "tiff pages": (F.TIFF, by_libvips(".tif", pages=FRAMES, compression="lzw")),
    "tiff pages in tiles": (
        F.TIFF,
        by_libvips(".tif", pages=FRAMES, compression="lzw", tile=True, tile_width=32),
    ),
    "tiff one bit": (F.TIFF, by_pillow("TIFF", "1", compression="group4")),
    "tiff one bit, group 3": (F.TIFF, by_pillow("TIFF", "1", compression="group3")),
    "tiff palette": (F.TIFF, by_pillow("TIFF", "P", compression="tiff_lzw")),
}
"""The format and the bytes of each."""
