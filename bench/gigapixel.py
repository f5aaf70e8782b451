"""Peak memory of the child that filters a picture of a gigapixel.

    python bench/gigapixel.py

Makes a TIFF and a JPEG of 40,000 x 25,000 pixels in a temporary directory, has a slot of a worker
filter each by several pipelines, and prints the most that its child ever had in memory (``VmHWM``)
and the seconds that it took. In a system of one's own, ``limits.pixels``, ``limits.upload_bytes``
and ``limits.job_seconds`` have to be raised for such pictures.
"""

import asyncio
import shutil
import sys
import tempfile
from pathlib import Path

from dpip.filters.libvips import pyvips
from dpip.filters.pipeline import encode_pipeline, parse_pipeline
from dpip.model.image import PictureFormat
from dpip.worker.slot import Slot, SlotFailure

WIDTH, HEIGHT = 40_000, 25_000
PIPELINES = ("grayscale", "blur:sigma=3", "thumbnail", "grayscale,thumbnail:size=1024")
MEMORY = 1 << 30
SECONDS = 600.0


def main() -> None:
    """Make the pictures, filter them, print a line each."""
    pipelines = sys.argv[1:] or PIPELINES
    with tempfile.TemporaryDirectory(prefix="dpip-gigapixel-") as scratch:
        for format in (PictureFormat.TIFF, PictureFormat.JPEG):  # noqa: A001
            picture = _make(Path(scratch), format)
            for pipeline in pipelines:
                asyncio.run(_measure(picture, format, pipeline, Path(scratch)))
            picture.unlink()


def _make(directory: Path, format: PictureFormat) -> Path:  # noqa: A002
    picture = directory / f"gigapixel{format.suffix}"
    waves = pyvips.Image.sines(2000, 2000, hfreq=9, vfreq=7) * 100 + 128
    tile = waves.bandjoin([waves.flip("horizontal"), waves.flip("vertical")]).cast("uchar")
    image = tile.copy(interpretation="srgb").copy_memory().replicate(20, 13)
    image = image.crop(0, 0, WIDTH, HEIGHT)
    options = {"compression": "deflate"} if format is PictureFormat.TIFF else {"Q": 85}
    image.write_to_file(str(picture), **options)
    return picture


async def _measure(picture: Path, format: PictureFormat, pipeline: str, scratch: Path) -> None:  # noqa: A002
    slot = Slot(scratch)
    await slot.start()
    source, target = scratch / "source", scratch / "target"
    shutil.copyfile(picture, source)
    try:
        filtered = await slot.filter(
            source,
            target,
            encode_pipeline(parse_pipeline(pipeline)),
            format,
            memory_limit=MEMORY,
            time_limit=SECONDS,
        )
        outcome = f"{_peak(slot):5d} MiB {filtered.cost.milliseconds / 1000:6.1f} s"
    except SlotFailure as error:
        outcome = str(error)
    print(f"{format.value:<5}{pipeline:<32}{outcome}", flush=True)
    target.unlink(missing_ok=True)
    await slot.close()


def _peak(slot: Slot) -> int:
    status = Path(f"/proc/{slot.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) // 1024


if __name__ == "__main__":
    main()
