from pathlib import Path

import psutil
import pytest
import pyvips

from dpip.bench.bare_loop import BareLoop, LoopEnded, Task
from dpip.client.targets import Picture
from dpip.model.image import PictureFormat


def test_every_run_filters_every_picture_that_can_be_filtered(tmp_path: Path) -> None:
    """Warm processes share the pictures; a broken one leaves no file and stops nothing."""
    names = [f"{number}.png" for number in range(8)]
    for name in names:
        pyvips.Image.black(16, 16, bands=3).write_to_file(str(tmp_path / name))
    (tmp_path / "broken.png").write_bytes(b"no picture")
    out = tmp_path / "out"
    out.mkdir()
    tasks = [
        Task(Picture(tmp_path / name, out / name), PictureFormat.PNG, way=0)
        for name in [*names, "broken.png", "missing.png"]
    ]
    with BareLoop(processes=2) as loop:
        for pipeline in ("blur", "grayscale"):
            assert loop.run(tasks, pipeline) > 0
            assert sorted(target.name for target in out.iterdir()) == names
            for target in out.iterdir():
                target.unlink()


def test_a_process_that_is_killed_is_said() -> None:
    """There is no limit without it."""
    with BareLoop(processes=1) as loop:
        loop.run([], "grayscale")
        for process in psutil.Process().children():
            if "spawn_main" in " ".join(process.cmdline()):
                process.kill()
                process.wait()
        with pytest.raises(LoopEnded, match="has ended"):
            loop.run([], "grayscale")
