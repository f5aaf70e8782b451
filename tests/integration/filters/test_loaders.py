from pathlib import Path
from typing import Any

import pytest

from dpip.filters.libvips import pyvips

BLOCKED = 1 << 5
"""The flag of libvips for an operation that cannot be run."""

FORMATS = ("jpegload", "pngload", "webpload", "gifload", "tiffload", "heifload")

OTHERS = {
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"></svg>',
    "pdf": b"%PDF-1.7\n%%EOF\n",
    "mat": b"2 2\n1 2\n3 4\n",
    "csv": b"1,2\n3,4\n",
    "ppm": b"P5\n1 1\n255\nx",
    "v": b"\xb6\xa6\xf2\x08" + bytes(200),
    "hdr": b"#?RADIANCE\n",
}


def loaders() -> list[str]:
    """Every operation of libvips that loads a picture, by its name."""
    names: list[str] = []

    def add(kind: Any, *_: Any) -> Any:
        name = pyvips.nickname_find(kind)
        if name != "load" and not name.endswith("_base"):
            names.append(name)
        pyvips.type_map(kind, add)
        return pyvips.ffi.NULL

    pyvips.type_map(pyvips.type_from_name("VipsForeignLoad"), add)
    return names


def is_blocked(name: str) -> bool:
    return bool(pyvips.Introspect(name).flags & BLOCKED)


def test_no_loaders_but_those_of_the_six_formats_are_there() -> None:
    """Whatever else this build of libvips could load."""
    allowed = [name for name in loaders() if not is_blocked(name)]
    assert sorted(allowed) == sorted(
        name + form for name in FORMATS for form in ("", "_buffer", "_source")
    )
    assert {"matrixload", "csvload", "vipsload", "rawload"} <= set(loaders())


@pytest.mark.parametrize("suffix", OTHERS)
def test_no_guess_leads_to_another_loader(tmp_path: Path, suffix: str) -> None:
    """Where libvips chooses by the bytes and the name."""
    file = tmp_path / f"picture.{suffix}"
    file.write_bytes(OTHERS[suffix])
    with pytest.raises(pyvips.Error):
        pyvips.Image.new_from_file(str(file))
    with pytest.raises(pyvips.Error):
        pyvips.Image.new_from_buffer(OTHERS[suffix], "")
