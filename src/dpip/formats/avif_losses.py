"""AVIF: what a file holds beside its primary image."""

import struct
from collections.abc import Iterator

from dpip.formats.boxes import FULL_BOX_HEAD, boxes
from dpip.formats.byte_reader import ByteReader, Malformed
from dpip.model.note import Note

_IMAGES = {b"av01", b"grid", b"iovl", b"iden"}
_TONE_MAPPED = b"tmap"
_HIDDEN = 1
_WITHIN_TRACKS = {b"trak", b"mdia", b"minf", b"stbl"}
_WITHIN_PROPERTIES = {b"iprp", b"ipco"}
_DERIVED = b"dimg"
_PART_OF_ANOTHER = {b"auxl", b"thmb", b"cdsc", b"prem"}
_AUXILIARY = {
    b"hdrgainmap": Note.GAIN_MAP_DROPPED,
    b":depth": Note.DEPTH_MAP_DROPPED,
    b"auxid:2": Note.DEPTH_MAP_DROPPED,
}
_MOST_OF_A_NAME = 256
_DEEPEST = 8


class _Losses:
    def __init__(self, reader: ByteReader) -> None:
        self._reader = reader
        self.notes: list[Note] = []
        self.images: set[int] = set()
        self.parts: set[int] = set()

    def of_file(self) -> None:
        for kind, end in boxes(self._reader, None):
            if kind == b"meta":
                self._reader.skip(FULL_BOX_HEAD)
                self._of_items(end, _DEEPEST)
            elif kind == b"moov":
                self._of_tracks(end, _DEEPEST)
            elif kind == b"moof":
                self.notes.append(Note.FRAMES_DROPPED)
        if len(self.images - self.parts) > 1:
            self.notes.append(Note.FRAMES_DROPPED)

    def _of_tracks(self, end: int, levels: int) -> None:
        for kind, box_end in _nested(self._reader, end, levels):
            if kind in _WITHIN_TRACKS:
                self._of_tracks(box_end, levels - 1)
            elif kind in (b"stsz", b"stz2"):
                (samples,) = struct.unpack(">8xL", self._reader.read(12))
                if samples > 1:
                    self.notes.append(Note.FRAMES_DROPPED)

    def _of_items(self, end: int, levels: int) -> None:
        for kind, box_end in _nested(self._reader, end, levels):
            if kind == b"iinf":
                version = self._reader.read(FULL_BOX_HEAD)[0]
                self._reader.skip(4 if version else 2)
                self._of_items(box_end, levels - 1)
            elif kind == b"infe":
                self._of_item()
            elif kind == b"iref":
                version = self._reader.read(FULL_BOX_HEAD)[0]
                self._of_references(box_end, ">L" if version else ">H")
            elif kind in _WITHIN_PROPERTIES:
                self._of_items(box_end, levels - 1)
            elif kind == b"auxC":
                name = self._reader.read(min(box_end - self._reader.position, _MOST_OF_A_NAME))
                self.notes += [note for part, note in _AUXILIARY.items() if part in name]

    def _of_item(self) -> None:
        version, flags = struct.unpack(">B2xB", self._reader.read(FULL_BOX_HEAD))
        if version < 2:
            return
        form = ">L2x4s" if version > 2 else ">H2x4s"
        item, kind = struct.unpack(form, self._reader.read(struct.calcsize(form)))
        if kind == _TONE_MAPPED:
            self.notes.append(Note.GAIN_MAP_DROPPED)
        elif kind in _IMAGES and not flags & _HIDDEN:
            self.images.add(item)

    def _of_references(self, end: int, form: str) -> None:
        size = struct.calcsize(form)
        for kind, _ in boxes(self._reader, end):
            (origin,) = struct.unpack(form, self._reader.read(size))
            (count,) = struct.unpack(">H", self._reader.read(2))
            if kind == _DERIVED:
                targets = self._reader.read(count * size)
                self.parts |= {target for (target,) in struct.iter_unpack(form, targets)}
            elif kind in _PART_OF_ANOTHER:
                self.parts.add(origin)


def _nested(reader: ByteReader, end: int, levels: int) -> Iterator[tuple[bytes, int]]:
    if not levels:
        raise Malformed("its boxes are nested too deep")
    return boxes(reader, end)


def avif_losses(reader: ByteReader) -> list[Note]:
    """What it holds beside its primary image. Raises ``Malformed`` also if it is cut off."""
    losses = _Losses(reader)
    losses.of_file()
    return losses.notes
