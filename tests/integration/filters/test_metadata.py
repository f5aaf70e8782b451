"""Where and by whose camera a picture was taken goes from the result; when and how stays."""

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dpip.filters.libvips import pyvips
from dpip.filters.picture import filter_picture
from dpip.filters.pipeline import parse_pipeline
from dpip.model.image import PictureFormat as F

CAMERA, XMP, CITY = b"Camera Works 3000", b"<x:xmpmeta>51.5N</x:xmpmeta>", b"London"
TAKEN = "2019:07:14 21:30:05"
PRIVATE = {
    "exif-ifd0-HostComputer": "Anna's telephone",
    "exif-ifd2-BodySerialNumber": "1234567",
    "exif-ifd2-LensSerialNumber": "7654321",
    "exif-ifd2-CameraOwnerName": "Anna Owner",
    "exif-ifd2-ImageUniqueID": "0123456789abcdef",
}
HARMLESS = {
    "exif-ifd0-Model": "CW 3",
    "exif-ifd0-DateTime": "2021:01:02 03:04:05",
    "exif-ifd2-DateTimeOriginal": TAKEN,
    "exif-ifd2-DateTimeDigitized": TAKEN,
    "exif-ifd2-OffsetTimeOriginal": "+02:00",
    "exif-ifd2-SubSecTimeOriginal": "25",
    "exif-ifd2-LensModel": "50 mm",
    "exif-ifd2-ExposureTime": "1/200",
    "exif-ifd2-ISOSpeedRatings": "400",
}
RECORD = b"\x1c\x02\x5a\0\x06" + CITY
IPTC = b"Photoshop 3.0\x008BIM\x04\x04\0\0" + struct.pack(">L", len(RECORD)) + RECORD + b"\0" * 3
KEPT = {
    F.JPEG: (CAMERA, XMP, CITY),
    F.PNG: (CAMERA,),
    F.WEBP: (CAMERA, XMP),
    F.TIFF: (XMP,),
    F.AVIF: (CAMERA, XMP),
}
"""What is plain to see of it in each format; a PNG compresses XMP, a TIFF turns IPTC about."""


def photograph() -> Any:
    """As a telephone takes it: GPS and camera in EXIF, a place in XMP and IPTC, a thumbnail."""
    image = pyvips.Image.black(16, 16, bands=3).copy(interpretation="srgb")
    for name, value in {
        "exif-ifd0-Make": CAMERA.decode(),
        **PRIVATE,
        **HARMLESS,
        "exif-ifd3-GPSLatitude": "51/1 30/1 0/1",
        "exif-ifd3-GPSLatitudeRef": "N",
    }.items():
        image.set_type(pyvips.GValue.gstr_type, name, value)
    image.set_type(pyvips.GValue.blob_type, "xmp-data", XMP)
    image.set_type(pyvips.GValue.blob_type, "iptc-data", IPTC)
    return image


def filtered(source: Path, kind: F, *, keep: bool) -> tuple[bytes, list[str]]:
    """The bytes of the result, and the names of what libvips finds in it."""
    target = source.with_name("target")
    filter_picture(source, target, parse_pipeline("blur", keep_metadata=keep), kind)
    loader = getattr(pyvips.Image, f"{'heif' if kind is F.AVIF else kind.value}load")
    return target.read_bytes(), loader(str(target)).get_fields()


@pytest.fixture
def taken(tmp_path: Path, kind: F) -> Path:
    source = tmp_path / f"taken{kind.suffix}"
    photograph().write_to_file(str(source))
    for secret in KEPT[kind]:
        assert secret in source.read_bytes()
    return source


@pytest.mark.parametrize("kind", KEPT)
def test_place_serial_numbers_and_owner_go(taken: Path, kind: F) -> None:
    """In none of the ways in which a format can does a result carry them."""
    content, fields = filtered(taken, kind, keep=False)
    for secret in (XMP, CITY, b"GPS", b"xmpmeta", *map(str.encode, PRIVATE.values())):
        assert secret not in content
    assert not [name for name in fields if name.startswith(("exif-ifd3-", "xmp-", "iptc-"))]


@pytest.mark.parametrize("pipeline", ["blur", "grayscale"])
@pytest.mark.parametrize("kind", [kind for kind in KEPT if kind is not F.TIFF])
def test_dates_and_the_kind_of_camera_stay(taken: Path, kind: F, pipeline: str) -> None:
    """Albums sort by them. A TIFF is not here: libvips reads no EXIF of one."""
    source = pyvips.Image.new_from_file(str(taken))
    target = taken.with_name("target")
    filter_picture(taken, target, parse_pipeline(pipeline), kind)
    result = pyvips.Image.new_from_file(str(target))
    for name, value in HARMLESS.items():
        assert source.get(name).startswith(f"{value} (")
        assert result.get(name) == source.get(name)


@pytest.mark.parametrize("kind", KEPT)
def test_a_result_carries_them_if_that_is_asked_for(taken: Path, kind: F) -> None:
    """As the format can."""
    content, fields = filtered(taken, kind, keep=True)
    for secret in KEPT[kind]:
        assert secret in content
    assert "xmp-data" in fields
    assert ("iptc-data" in fields) == (kind in (F.JPEG, F.TIFF))
    assert ("exif-ifd3-GPSLatitude" in fields) == (kind is not F.TIFF)


@pytest.mark.parametrize("keep", [False, True])
def test_the_gps_directory_of_a_tiff_goes_unless_it_is_to_stay(tmp_path: Path, keep: bool) -> None:
    """A TIFF has the make of the camera and the place among its own fields."""
    maker_at, gps_at, pixels_at = 300, 350, 400
    entries = [
        (256, 3, 1, 4),
        (257, 3, 1, 4),
        (258, 3, 1, 8),
        (259, 3, 1, 1),
        (262, 3, 1, 1),
        (271, 2, len(CAMERA) + 1, maker_at),
        (273, 4, 1, pixels_at),
        (277, 3, 1, 1),
        (278, 3, 1, 4),
        (279, 4, 1, 16),
        (34853, 4, 1, gps_at),
    ]
    directory = struct.pack("<H", len(entries)) + b"".join(
        struct.pack("<HHLL", *entry) for entry in entries
    )
    content = (b"II*\0" + struct.pack("<L", 8) + directory).ljust(maker_at, b"\0") + CAMERA
    latitude = struct.pack("<HHHLL", 1, 1, 2, 2, int.from_bytes(b"N", "little"))
    content = content.ljust(gps_at, b"\0") + latitude
    source = tmp_path / "taken.tiff"
    source.write_bytes(content.ljust(pixels_at, b"\0") + bytes(range(16)))
    filtered(source, F.TIFF, keep=keep)
    with Image.open(source.with_name("target")) as result:
        exif = result.getexif()
        assert exif[271] == CAMERA.decode()
        assert exif.get_ifd(34853) == ({1: "N"} if keep else {})
        assert np.asarray(result).shape == (4, 4)


def test_a_thumbnail_goes_in_any_case(tmp_path: Path) -> None:
    """It shows the picture as it was before it was filtered."""
    source = tmp_path / "taken.jpg"
    image = photograph()
    thumbnail = pyvips.Image.black(8, 8).jpegsave_buffer()
    image.set_type(pyvips.GValue.blob_type, "jpeg-thumbnail-data", thumbnail)
    image.jpegsave(str(source))
    assert "jpeg-thumbnail-data" in pyvips.Image.jpegload(str(source)).get_fields()
    for keep in (False, True):
        content, fields = filtered(source, F.JPEG, keep=keep)
        assert "jpeg-thumbnail-data" not in fields
        assert content.count(b"\xff\xd8\xff") == 1
