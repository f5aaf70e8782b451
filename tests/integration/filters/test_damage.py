"""A damaged picture is refused, or shows what two independent decoders show of it."""

import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from dpip.errors import UnsupportedPicture
from dpip.filters.failures import DecodeFailed
from dpip.filters.picture import filter_picture
from dpip.filters.pipeline import parse_pipeline
from dpip.formats import read_header
from dpip.model.image import PictureFormat as F
from dpip.model.note import Note
from tests.integration.filters.layouts import LAYOUTS

NOTHING = parse_pipeline("flip,flip")
"""A pipeline that decodes, filters and encodes, and leaves pixels as they were."""

PATCH = 40
ROUNDS = 3
"""Times that each layout is overwritten, at other places and by other bytes."""

FIRST_FRAME_ONLY = {"png animated", "avif animated"}
LOSSY = 4.0
"""Steps of 255 that pixels may be off in the mean, once a lossy format has been written again."""


def damaged(content: bytes, seed: int) -> Iterator[tuple[str, bytes]]:
    """Cut off, one byte short, and overwritten: at one of three places, and at three."""
    yield "cut at 1/3", content[: len(content) // 3]
    yield "cut at 2/3", content[: 2 * len(content) // 3]
    yield "one byte short", content[:-1]
    chance = np.random.default_rng(seed)
    for turn in range(ROUNDS):
        places = [
            int(chance.integers(k * len(content) // 3, (k + 1) * len(content) // 3 - PATCH))
            for k in range(3)
        ]
        for name, chosen in [
            *((f"patch {k}", [at]) for k, at in enumerate(places)),
            ("three patches", places),
        ]:
            patched = bytearray(content)
            for at in chosen:
                patched[at : at + PATCH] = chance.bytes(PATCH)
            yield f"{name}, round {turn}", bytes(patched)


def of_dpip(content: bytes, kind: F, directory: Path) -> tuple[list[Any], tuple[Note, ...]] | None:
    """The frames of the result as they can be seen, and notes; ``None`` if it is refused."""
    source, target = directory / "source", directory / "target"
    source.write_bytes(content)
    try:
        if read_header(io.BytesIO(content)).format is not kind:
            return None
        notes = filter_picture(source, target, NOTHING, kind).notes
    except (UnsupportedPicture, DecodeFailed):
        return None
    frames = of_opencv(target.read_bytes())
    assert frames is not None
    return frames, notes


def of_pillow(content: bytes, most: int = 1000) -> list[Any] | None:
    try:
        image = Image.open(io.BytesIO(content))
        frames = []
        for number in range(min(most, getattr(image, "n_frames", 1))):
            image.seek(number)
            plain = image.mode in ("L", "RGB", "RGBA", "I;16")
            frames.append(np.asarray(image if plain else image.convert(_shown_as(image))))
    except (OSError, ValueError, SyntaxError, EOFError, RuntimeError, Image.DecompressionBombError):
        return None
    return frames


def _shown_as(image: Image.Image) -> str:
    return "L" if image.mode == "1" else "RGBA" if "transparency" in image.info else "RGB"


def of_opencv(content: bytes, most: int = 1000) -> list[Any] | None:
    buffer = np.frombuffer(content, np.uint8)
    try:
        frames: list[Any] = []
        if content[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
            frames += cv2.imdecodemulti(buffer, cv2.IMREAD_UNCHANGED)[1]
        elif most > 1:
            frames += cv2.imdecodeanimation(buffer)[1].frames
        if len(frames) < 2 and (still := cv2.imdecode(buffer, cv2.IMREAD_UNCHANGED)) is not None:
            frames = [still]
    except cv2.error:
        return None
    return [_rgb(frame) for frame in frames] or None


def _rgb(pixels: Any) -> Any:
    if pixels.ndim == 3 and pixels.shape[2] >= 3:
        return pixels[:, :, [2, 1, 0, *range(3, pixels.shape[2])]]
    return pixels


def distance(ones: list[Any], others: list[Any]) -> float:
    """How far two pictures are apart, in steps of 255."""
    if len(ones) != len(others):
        return 255.0
    apart = 0.0
    for one, other in zip(ones, others, strict=True):
        one, other = (_colours(pixels) for pixels in (one, other))
        if one.shape[:2] != other.shape[:2]:
            return 255.0
        apart = max(apart, float(np.abs(one - other).mean()))
    return apart


def _colours(pixels: Any) -> Any:
    """Three channels of 0 to 255."""
    most = 257 if pixels.dtype == np.uint16 else 1
    pixels = pixels.reshape(*pixels.shape[:2], -1).astype(float) / most
    return np.repeat(pixels, 3, axis=2) if pixels.shape[2] < 3 else pixels[:, :, :3]


def shown_alike(name: str, seen: list[Any], content: bytes) -> str:
    """What is wrong with ``seen``, the result of the layout ``name``; nothing if all agree."""
    lossless = "png" in name or "lossless" in name or ("tiff" in name and "jpeg" not in name)
    limit = (1.0 if "16" in name else 0.0) if lossless and name != "jpeg lossless" else LOSSY
    for decoder in (of_pillow, of_opencv):
        shown = decoder(content, 1 if name in FIRST_FRAME_ONLY else 1000)
        if shown is None:
            return f"{decoder.__name__} refuses it"
        apart = distance(seen, shown)
        if apart > limit:
            return f"{decoder.__name__} shows it {apart:.1f} apart"
    return ""


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_sound_picture_is_what_others_show(tmp_path: Path, name: str) -> None:
    """In every layout; what is left out of it is said."""
    kind, make = LAYOUTS[name]
    content = make()
    result = of_dpip(content, kind, tmp_path)
    assert result is not None
    seen, notes = result
    assert shown_alike(name, seen, content) == ""
    assert notes == ((Note.FRAMES_DROPPED,) if name in FIRST_FRAME_ONLY else ())


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_damaged_picture_is_refused_or_what_others_show(tmp_path: Path, name: str) -> None:
    """Never half of it, black or blank, and called done."""
    kind, make = LAYOUTS[name]
    wrong = {}
    for damage, content in damaged(make(), seed=zlib.crc32(name.encode())):
        result = of_dpip(content, kind, tmp_path)
        if result and (fault := shown_alike(name, result[0], content)):
            wrong[damage] = fault
    assert not wrong


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_picture_that_is_cut_off_is_refused(tmp_path: Path, name: str) -> None:
    """Even where some decoders would show what there is."""
    kind, make = LAYOUTS[name]
    cuts = {damage: content for damage, content in damaged(make(), 0) if "round" not in damage}
    assert [cut for cut, content in cuts.items() if of_dpip(content, kind, tmp_path)] == []


# Decoders do not agree about the gray of inks.
@pytest.mark.parametrize(
    "name", [each for each in LAYOUTS if each[:4] == "jpeg" and "inks" not in each]
)
def test_a_damaged_jpeg_that_becomes_gray_is_refused_or_what_others_show_in_gray(
    tmp_path: Path, name: str
) -> None:
    """Its colour is not decoded, by none of them."""
    kind, make = LAYOUTS[name]
    source, target = tmp_path / "source", tmp_path / "target"
    for damage, content in damaged(make(), seed=1 + zlib.crc32(name.encode())):
        source.write_bytes(content)
        try:
            filter_picture(source, target, parse_pipeline("grayscale"), kind)
        except DecodeFailed:
            continue
        seen = [np.asarray(Image.open(target))]
        shown = Image.open(io.BytesIO(content))
        shown.draft("L", shown.size)
        gray = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_GRAYSCALE)
        assert gray is not None, damage
        assert distance(seen, [np.asarray(shown.convert("L"))]) < LOSSY, damage
        assert distance(seen, [gray]) < LOSSY, damage
