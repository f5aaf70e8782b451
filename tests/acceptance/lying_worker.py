"""A worker whose results are other pictures than they should be, while a file is there.

Run as ``dpip`` is; the file is named by the variable ``BROKEN``.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import pyvips

from dpip.cli.main import main
from dpip.model.note import Note
from dpip.wire.messages import Run
from dpip.worker.image_client import ImageClient

hand_in = ImageClient.upload


async def hand_in_another(
    self: ImageClient, run: Run, result: Path, *, milliseconds: float, notes: Sequence[Note] = ()
) -> None:
    if Path(os.environ["BROKEN"]).exists():
        pyvips.Image.black(3, 3).write_to_file(str(result))
    await hand_in(self, run, result, milliseconds=milliseconds, notes=notes)


if __name__ == "__main__":
    ImageClient.upload = hand_in_another  # type: ignore[method-assign]
    main()
