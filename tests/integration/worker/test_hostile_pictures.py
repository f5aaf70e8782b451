"""Hostile and damaged pictures in the child that has to decode them."""

import io
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from dpip.cli.mutations import mutations
from dpip.errors import UnsupportedPicture
from dpip.filters.pipeline import encode_pipeline, parse_pipeline
from dpip.formats import read_header
from dpip.model.image import PictureFormat
from dpip.worker.slot import Slot, SlotFailure
from tests.hostile import HOSTILE
from tests.unit.formats.pictures import PICTURES

MUTATIONS = 250
SEED = 11
PIXELS = 50_000_000
MEMORY = 1024 * 1024 * 1024
PATIENCE = 60.0


def accepted() -> Iterator[tuple[bytes, PictureFormat]]:
    """The pictures whose header the API would take, and the format that it says."""
    sound = [make() for make, _ in PICTURES.values()]
    for content in [*HOSTILE.values(), *mutations(sound, MUTATIONS, SEED)]:
        try:
            header = read_header(io.BytesIO(content))
        except UnsupportedPicture:
            continue
        if header.pixels <= PIXELS:
            yield content, header.format


@pytest.mark.parametrize("filters", ["blur", "grayscale,thumbnail:size=8"])
async def test_a_hostile_picture_is_filtered_or_fails_with_a_reason(
    tmp_path: Path, filters: str
) -> None:
    """By every decoder; and a sound one is filtered after it, by the same child or the next."""
    pipeline = encode_pipeline(parse_pipeline(filters))
    slot = Slot(tmp_path)
    source, target = tmp_path / "source", tmp_path / "target"
    fates: Counter[str] = Counter()
    reasons: list[str] = []

    async def fate_of(content: bytes, kind: PictureFormat) -> str:
        source.write_bytes(content)
        try:
            await slot.filter(
                source, target, pipeline, kind, memory_limit=MEMORY, time_limit=PATIENCE
            )
        except SlotFailure as error:
            reasons.append(error.failure.reason)
            return error.failure.code
        target.unlink()
        return "filtered"

    for content, kind in accepted():
        fates[await fate_of(content, kind)] += 1
        assert not target.exists()
    assert all(reasons)
    assert not [reason for reason in reasons if str(tmp_path) in reason]
    assert fates["filtered"] > 20
    assert fates["decode_failed"] > 20
    assert await fate_of(PICTURES["png"][0](), PictureFormat.PNG) == "filtered"
    await slot.close()
    assert [path for path in tmp_path.iterdir() if path != source] == []
