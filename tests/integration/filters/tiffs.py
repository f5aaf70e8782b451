"""TIFFs of any kind of samples, written without the code that is tested."""

import struct
from pathlib import Path
from typing import Any

import numpy as np

WHITE_IS_ZERO, GRAY, RGB, INKS, LAB = 0, 1, 2, 5, 8
UNSPECIFIED, ASSOCIATED, UNASSOCIATED = 0, 1, 2
_SHORT, _LONG = 3, 4
_SAMPLE_FORMATS = {"u": 1, "i": 2, "f": 3}


def write_tiff(
    file: Path, pixels: Any, photometric: int, extra: tuple[int, ...] = (), **fields: int
) -> Path:
    """Write ``pixels``, of shape (height, width, samples), uncompressed and in one strip."""
    height, width, samples = pixels.shape
    dtype = pixels.dtype
    content = pixels.astype(dtype.newbyteorder("<")).tobytes()
    entries: dict[int, tuple[int, list[int]]] = {
        256: (_LONG, [width]),
        257: (_LONG, [height]),
        258: (_SHORT, [dtype.itemsize * 8] * samples),
        259: (_SHORT, [1]),
        262: (_SHORT, [photometric]),
        273: (_LONG, [8]),
        277: (_SHORT, [samples]),
        278: (_LONG, [height]),
        279: (_LONG, [len(content)]),
        339: (_SHORT, [_SAMPLE_FORMATS[dtype.kind]] * samples),
        **({338: (_SHORT, list(extra))} if extra else {}),
        **{int(tag.removeprefix("tag")): (_SHORT, [value]) for tag, value in fields.items()},
    }
    content += bytes(len(content) % 2)
    directory_at = 8 + len(content)
    values_at = directory_at + 2 + 12 * len(entries) + 4
    directory, values = struct.pack("<H", len(entries)), b""
    for tag, (kind, numbers) in sorted(entries.items()):
        value = struct.pack(f"<{len(numbers)}{'H' if kind == _SHORT else 'L'}", *numbers)
        inline = value.ljust(4, b"\0")
        if len(value) > 4:
            inline = struct.pack("<L", values_at + len(values))
            values += value + bytes(len(value) % 2)
        directory += struct.pack("<HHL", tag, kind, len(numbers)) + inline
    file.write_bytes(
        b"II*\0" + struct.pack("<L", directory_at) + content + directory + bytes(4) + values
    )
    return file


def ramp(samples: int, dtype: type, most: float) -> Any:
    """Pixels of all brightnesses up to ``most``, in no channel the same."""
    down, across = np.mgrid[0:24, 0:32]
    planes = [across / 31, down / 23, (across + down) / 54, 1 - across / 40, 1 - down / 30]
    return (np.stack(planes[:samples], axis=2) * most).astype(dtype)
