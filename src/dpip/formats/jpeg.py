"""JPEG: segments up to the frame header, and what is said in them of other pictures."""

import struct

from dpip.formats.byte_reader import ByteReader, Malformed
from dpip.model.image import PictureFormat, PictureHeader
from dpip.model.note import Note

_MOST_SEGMENTS = 20_000
_WINDOW = 1 << 12
_STANDALONE = {0x01, *range(0xD0, 0xD9)}
_NOT_FRAMES = {0xC4, 0xC8, 0xCC}
_FRAMES = set(range(0xC0, 0xD0)) - _NOT_FRAMES
_SCAN, _END = 0xDA, 0xD9
_LOSSLESS = 0xC3
_END_MARKER = b"\xff\xd9"
_USUAL_END = 64
_MOST_SAID = 1 << 18
"""Bytes before the frame header that are searched."""

_GAIN_MAPS = (b"hdrgm:", b"urn:iso:std:iso:ts:21496:-1", b"hdrgainmap")
"""In XMP (Adobe, Google), in a segment of its own (ISO 21496-1), and in XMP as Apple has it."""

_VIDEOS = (b'MotionPhoto="1"', b'MicroVideo="1"', b"MotionPhoto>1<", b"MicroVideo>1<")
_DEPTH_MAPS = (b"ns.google.com/photos/1.0/depthmap/", b"ns.google.com/photos/dd/1.0/")
_SIGNS = {
    Note.GAIN_MAP_DROPPED: _GAIN_MAPS,
    Note.DEPTH_MAP_DROPPED: _DEPTH_MAPS,
    Note.VIDEO_DROPPED: _VIDEOS,
}
_MULTI_PICTURE = b"MPF\0"
_ENTRIES = 0xB002
_ENTRY_SIZE = 16
_MULTI_FRAME = range(0x020001, 0x020004)
"""The types of pictures that make up one with others (CIPA DC-007): panorama, disparity, angle."""

_MOST_OTHERS = 8
_MOST_SAID_OF_ANOTHER = 1 << 14


def read_jpeg(reader: ByteReader) -> PictureHeader:
    """Read the first frame header. Raises ``Malformed``."""
    _find_frame(reader)
    depth, height, width, bands = struct.unpack(">BHHB", reader.read(6))
    return PictureHeader(
        format=PictureFormat.JPEG, width=width, height=height, bands=bands, depth=depth
    )


def is_lossless_jpeg(reader: ByteReader) -> bool:
    """Whether it is coded without loss, pixel by pixel. Raises ``Malformed``."""
    return _find_frame(reader) == _LOSSLESS


def jpeg_losses(reader: ByteReader) -> list[Note]:
    """What it holds beside its first picture. Raises ``Malformed``, also if it has no end."""
    _find_frame(reader)
    _check_has_end(reader)
    length = min(reader.position, _MOST_SAID)
    reader.seek(0)
    said = reader.read(length)
    notes = [note for note, signs in _SIGNS.items() if any(sign in said for sign in signs)]
    if (at := said.find(_MULTI_PICTURE)) >= 0:
        notes += _losses_of_others(reader, said, at + len(_MULTI_PICTURE))
    return list(dict.fromkeys(notes))


def _check_has_end(reader: ByteReader) -> None:
    """Refuse a file without the marker of its end, which a decoder that has all lines overlooks."""
    after_frame = reader.position
    for length in (_USUAL_END, reader.size):
        reader.seek(max(after_frame, reader.size - length))
        if _END_MARKER in reader.peek(length):
            reader.seek(after_frame)
            return
    raise Malformed("it is cut off")


def _find_frame(reader: ByteReader) -> int:
    """Move behind the length of the first frame header; returns its marker."""
    reader.seek(2)
    for _ in range(_MOST_SEGMENTS):
        marker = _next_marker(reader)
        if marker in _STANDALONE:
            continue
        if marker in (_SCAN, _END):
            raise Malformed("it has no frame header")
        (length,) = struct.unpack(">H", reader.read(2))
        if marker in _FRAMES:
            return marker
        if length < 2:
            raise Malformed("its segments are damaged")
        reader.skip(length - 2)
    raise Malformed("it has too many segments")


def _next_marker(reader: ByteReader) -> int:
    """Read the next marker: decoders pass over bytes that are none, and over fill bytes."""
    prefix, marker = reader.read(2)
    while prefix != 0xFF or marker in (0x00, 0xFF):
        if prefix == marker == 0xFF:
            prefix, (marker,) = marker, reader.read(1)
            continue
        reader.skip(-1 if prefix != 0xFF else 0)
        stray = reader.peek(_WINDOW)
        at = stray.find(0xFF)
        reader.skip(len(stray) if at < 0 else at)
        prefix, marker = reader.read(2)
    return int(marker)


def _losses_of_others(reader: ByteReader, said: bytes, index_at: int) -> list[Note]:
    """What the pictures are that the multi-picture format lists, by its index at ``index_at``."""
    notes = []
    for kind, offset in _others(said[index_at:])[:_MOST_OTHERS]:
        if kind in _MULTI_FRAME:
            notes.append(Note.FRAMES_DROPPED)
        elif index_at + offset < reader.size:
            reader.seek(index_at + offset)
            start = reader.peek(_MOST_SAID_OF_ANOTHER)
            if any(sign in start for sign in _GAIN_MAPS):
                notes.append(Note.GAIN_MAP_DROPPED)
    return notes


def _others(index: bytes) -> list[tuple[int, int]]:
    """Type and offset of each picture but the first, none if the index is damaged."""
    order = "<" if index.startswith(b"II") else ">"
    try:
        (at,) = struct.unpack_from(f"{order}L", index, 4)
        (count,) = struct.unpack_from(f"{order}H", index, at)
        for field in range(at + 2, at + 2 + 12 * count, 12):
            tag, _, size, offset = struct.unpack_from(f"{order}HHLL", index, field)
            if tag == _ENTRIES:
                entries = struct.iter_unpack(
                    f"{order}LLLHH", index[offset : offset + size // _ENTRY_SIZE * _ENTRY_SIZE]
                )
                return [(kind & 0xFFFFFF, place) for kind, _, place, _, _ in entries][1:]
    except struct.error:
        pass
    return []
