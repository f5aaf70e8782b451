"""How far a batch of pictures is, and what became of it."""

from pathlib import Path

from msgspec import Struct


class Progress(Struct, frozen=True, kw_only=True):
    """How many pictures of a batch have got how far; each count includes those further on."""

    total: int
    uploaded: int
    filtered: int
    finished: int
    failed: int


class PictureFailure(Struct, frozen=True, kw_only=True):
    """Why there is no filtered form of ``source``: a stable code and a sentence."""

    source: Path
    code: str
    reason: str


class PictureNotes(Struct, frozen=True, kw_only=True):
    """What the filtered form of ``source`` lacks on purpose: codes, of which the server may know
    more than ``dpip.model.note``.
    """

    source: Path
    notes: tuple[str, ...]


class WorkerShare(Struct, frozen=True, kw_only=True):
    """What one worker did: pictures, and mean milliseconds on the pixels of one."""

    worker: str
    pictures: int
    milliseconds: float


class Report(Struct, frozen=True, kw_only=True):
    """What became of a batch: ``filtered`` pictures came back, in ``seconds`` of wall time."""

    workload_id: str
    filtered: int
    seconds: float
    workers: tuple[WorkerShare, ...]
    failures: tuple[PictureFailure, ...]
    notes: tuple[PictureNotes, ...] = ()
