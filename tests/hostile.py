"""Pictures made to do harm: they declare too much, lie about lengths, or have no end."""

import struct
import zlib


def _chunk(kind: bytes, content: bytes) -> bytes:
    body = kind + content
    return struct.pack(">L", len(content)) + body + struct.pack(">L", zlib.crc32(body))


def png(width: int, height: int, *chunks: bytes, depth: int = 8, colour: int = 2) -> bytes:
    head = struct.pack(">LLBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join([_chunk(b"IHDR", head), *chunks, _chunk(b"IEND", b"")])


def png_of_zeros(width: int, height: int) -> bytes:
    """A whole picture of ``width`` x ``height``, in a thousandth of its bytes."""
    return png(width, height, _chunk(b"IDAT", zlib.compress(bytes((3 * width + 1) * height), 9)))


def jpeg(width: int, height: int, bands: int = 3, segments: bytes = b"") -> bytes:
    frame = struct.pack(">BHHB", 8, height, width, bands) + b"\1\x11\0" * bands
    return b"\xff\xd8" + segments + b"\xff\xc0" + struct.pack(">H", 2 + len(frame)) + frame


def gif(width: int, height: int, blocks: bytes) -> bytes:
    return b"GIF89a" + struct.pack("<HHBBB", width, height, 0, 0, 0) + blocks


def gif_frame(width: int, height: int) -> bytes:
    return b"\x2c" + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\2\2\x44\1\0"


GIF_FRAME = gif_frame(1, 1)


def webp(chunks: bytes, size: int | None = None) -> bytes:
    declared = len(chunks) + 4 if size is None else size
    return b"RIFF" + struct.pack("<L", declared) + b"WEBP" + chunks


def webp_canvas(width: int, height: int, flags: int = 2) -> bytes:
    across, down = ((side - 1).to_bytes(3, "little") for side in (width, height))
    return b"VP8X" + struct.pack("<LL", 10, flags) + across + down


def tiff(*fields: tuple[int, int, int, int], after: int = 0, copies: int = 1) -> bytes:
    """One directory; a field is its tag, type, count and value or offset. ``copies`` of each."""
    entries = b"".join(struct.pack("<HHLL", *field) for field in fields for _ in range(copies))
    count = struct.pack("<H", len(entries) // 12)
    return b"II*\0" + struct.pack("<L", 8) + count + entries + struct.pack("<L", after)


def tiff_chain(pages: int, *fields: tuple[int, int, int, int], copies: int) -> bytes:
    """As many directories, each with ``copies`` of each field and the place of the next."""
    first = tiff(*fields, copies=copies)
    size = len(first) - 8
    chain = (tiff(*fields, after=8 + size * page, copies=copies)[8:] for page in range(1, pages))
    return first[:8] + b"".join([*chain, first[8:]])


def size_fields(width: int, height: int) -> tuple[tuple[int, int, int, int], ...]:
    return ((256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (277, 3, 1, 1))


def box(kind: bytes, content: bytes = b"", size: int | None = None) -> bytes:
    return struct.pack(">L4s", len(content) + 8 if size is None else size, kind) + content


def avif(properties: bytes, brand: bytes = b"avif", wrap: int = 0) -> bytes:
    content = box(b"iprp", box(b"ipco", properties))
    for _ in range(wrap):
        content = box(b"iprp", content)
    return box(b"ftyp", brand + bytes(4) + brand) + box(b"meta", bytes(4) + content)


def extents(width: int, height: int) -> bytes:
    return box(b"ispe", struct.pack(">4xLL", width, height))


_CODED = box(b"av1C", b"\x81\0\0\0")
_FULL = 0xFFFFFFFF

BOMBS = {
    "png bomb": png(100_000, 100_000),
    "png bomb with pixels": png_of_zeros(8000, 8000),
    "jpeg bomb": jpeg(65_535, 65_535),
    "gif bomb": gif(65_535, 65_535, GIF_FRAME + b";"),
    "gif bomb beyond its screen": gif(1, 1, gif_frame(65_535, 65_535) + b";"),
    "gif bomb of frames": gif(1000, 1000, GIF_FRAME * 1000 + b";"),
    "webp bomb": webp(b"VP8 " + struct.pack("<L", 10) + b"\x30\1\0\x9d\1\x2a\xff\x3f\xff\x3f"),
    "webp bomb of frames": webp(webp_canvas(5000, 5000) + (b"ANMF" + bytes(4)) * 1000),
    "tiff bomb": tiff(*size_fields(1_000_000, 1_000_000)),
    "tiff bomb behind another size": tiff(*size_fields(60_000, 60_000), *size_fields(9, 9)),
    "avif bomb": avif(extents(60_000, 60_000) + _CODED),
}
"""Each declares 50 megapixels or more."""

LIES = {
    "png with a lying length": png(9, 9).replace(b"\0\0\0\rIHDR", b"\xff\xff\xff\xffIHDR"),
    "png of no size": png(0, 0),
    "png of negative size": png(_FULL, _FULL),
    "png of many chunks": png(9, 9, *[_chunk(b"tEXt", b"a\0b")] * 20_000),
    "jpeg of fill": b"\xff\xd8" + b"\xff" * 1_000_000,
    "jpeg of many segments": jpeg(9, 9, segments=b"\xff\xe1\0\2" * 100_000),
    "jpeg of empty segments": jpeg(9, 9, segments=b"\xff\xe1\0\0" * 10),
    "jpeg with a lying length": jpeg(9, 9, segments=b"\xff\xe1\xff\xff"),
    "jpeg of many channels": jpeg(9, 9, bands=255),
    "gif without end": gif(1, 1, b"\x21\xfe" + b"\1\0\x21\xfe\1" * 400_000),
    "gif of empty blocks": gif(1, 1, b"\x21\xfe\0" * 700_000),
    "gif of one long comment": gif(1, 1, b"\x21\xfe" + b"\1a" * 1_500_000),
    "gif of many frames": gif(1, 1, GIF_FRAME * 100_000),
    "webp with a lying length": webp(b"VP8X" + struct.pack("<L", _FULL) + bytes(10)),
    "webp with a lying file length": webp(webp_canvas(9, 9, 0), size=_FULL),
    "webp of empty chunks": webp(webp_canvas(9, 9) + (b"JUNK" + bytes(4)) * 300_000),
    "webp of lying chunks": webp(webp_canvas(9, 9) + b"ANMF" + struct.pack("<L", _FULL)),
    "tiff in circles": tiff(*size_fields(9, 9), after=8),
    "tiff of nested directories": tiff(*size_fields(9, 9), (330, 4, 1, 8), (34665, 4, 1, 8)),
    "tiff of many directories": tiff(*size_fields(9, 9), (330, 4, _FULL, 8)),
    "tiff of absurd counts": tiff((256, 4, _FULL, _FULL), (257, 4, _FULL, _FULL)),
    "tiff of many fields": tiff(*size_fields(9, 9), copies=16_000),
    "tiff of many channels": tiff(*size_fields(9, 9)[:3], (277, 3, 1, 65_535)),
    "tiff of many full directories": tiff_chain(200, *size_fields(9, 9), copies=1000),
    "big tiff of absurd counts": b"II+\0" + struct.pack("<HHQQ", 8, 0, 16, 2**64 - 1) + bytes(99),
    "avif with a lying length": avif(box(b"ispe", bytes(12), size=_FULL) + _CODED),
    "avif of empty boxes": avif(box(b"free") * 250_000 + extents(9, 9) + _CODED),
    "avif of nested boxes": avif(extents(9, 9) + _CODED, wrap=2000),
    "avif of many channels": avif(extents(9, 9) + box(b"pixi", b"\0\0\0\0\xff" + b"\x08" * 255)),
    "avif of endless boxes": box(b"ftyp", b"avif" + bytes(4)) + box(b"meta", bytes(4), size=0),
    "heic": avif(extents(9, 9) + box(b"hvcC", bytes(23)), brand=b"heic"),
    "heic that calls itself avif": avif(extents(9, 9) + box(b"hvcC", bytes(23))),
}

POLYGLOTS = {
    "script after a gif": gif(1, 1, GIF_FRAME + b";") + b"<script>alert(1)</script>",
    "gif that is a script": b"GIF89a=1;/*" + bytes(20) + b"*/",
    "svg": b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
    "svg after space": b" \n<svg xmlns='http://www.w3.org/2000/svg'/>",
    "pdf": b"%PDF-1.7\n1 0 obj<</Type/Catalog>>endobj\n%%EOF",
    "postscript": b"%!PS-Adobe-3.0\n",
    "html": b"<!doctype html><script>alert(1)</script>",
    "imagemagick script": b"push graphic-context\nviewbox 0 0 640 480\n",
    "matrix of libvips": b"2 2\n1 2\n3 4\n",
    "picture of libvips": b"\xb6\xa6\xf2\x08" + bytes(60),
    "zip after a png": png(1, 1) + b"PK\3\4",
    "nothing": b"",
}

HOSTILE = {**BOMBS, **LIES, **POLYGLOTS}
