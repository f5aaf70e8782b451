from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import pyvips

from dpip.bench import limit as module
from dpip.bench.bare_loop import BareLoop, Task
from dpip.bench.limit import Limit
from dpip.bench.ways import AS_THE_WORKER, WAYS, Way
from dpip.client.targets import Picture
from dpip.filters.pipeline import parse_pipeline
from dpip.model.image import PictureFormat

FILTERS = ("grayscale", "blur", "thumbnail:size=20", "thumbnail:size=30,grayscale,blur,sharpen")


@pytest.fixture
def photograph(tmp_path: Path) -> Callable[[str], Path]:
    def make(suffix: str) -> Path:
        shades = pyvips.Image.xyz(64, 48)
        image = shades[0].bandjoin([shades[1] * 2, (shades[0] + shades[1])]).cast("uchar")
        file = tmp_path / f"photograph{suffix}"
        image.copy(interpretation="srgb").write_to_file(str(file))
        return file

    return make


@pytest.mark.parametrize("steps", FILTERS)
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_a_way_makes_pictures(
    way: Way, steps: str, suffix: str, photograph: Callable[[str], Path], tmp_path: Path
) -> None:
    """Every way that says that it can do a filter writes a picture of the right size."""
    pipeline = parse_pipeline(steps)
    kind = PictureFormat.JPEG if suffix == ".jpg" else PictureFormat.PNG
    if way.missing() or not way.can(pipeline, kind):
        pytest.skip("it needs the extra bench, or is for another format")
    source, target, expected = photograph(suffix), tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    way.filter(source, target, pipeline, kind)
    AS_THE_WORKER.filter(source, expected, pipeline, kind)
    sizes = [
        (image.width, image.height)
        for image in (pyvips.Image.new_from_file(str(file)) for file in (target, expected))
    ]
    assert sizes[0] == sizes[1]


def _wrong(source: Path, target: Path, *_: object) -> None:
    pyvips.Image.black(64, 48).pngsave(str(target))


def test_a_way_that_makes_another_picture_is_not_chosen(
    monkeypatch: pytest.MonkeyPatch, photograph: Callable[[str], Path], tmp_path: Path
) -> None:
    """However fast a way is, it counts only if its pictures are those of DPIP's filters."""
    wrong = Way(name="wrong", filter=_wrong)
    absent = Way(name="absent", filter=_wrong, modules=("no_such_module",))
    ways = (AS_THE_WORKER, wrong, absent)
    monkeypatch.setattr(module, "WAYS", ways)

    class Loop(BareLoop):
        def __init__(self) -> None:
            """Has no processes."""

        def run(self, tasks: Sequence[Task], filter: str) -> float:  # noqa: A002
            for task in tasks:
                ways[task.way].filter(
                    task.picture.source, task.picture.target, parse_pipeline(filter), task.format
                )
            return 100.0 if tasks[0].way == 0 else 1.0

    trials = Limit(Loop(), tmp_path / "scratch").choose([photograph(".png")], "grayscale")
    assert [trial.verdict.split(":")[0] for trial in trials] == [
        "chosen",
        "not the same picture",
        "left out",
    ]


def test_a_picture_in_other_colours_goes_the_only_way_that_knows_them(
    monkeypatch: pytest.MonkeyPatch, photograph: Callable[[str], Path], tmp_path: Path
) -> None:
    """Whatever way is chosen for the others of its format."""
    plain = photograph(".png")
    wide = tmp_path / "wide.png"
    pyvips.Image.new_from_file(str(plain)).icc_transform("p3", input_profile="srgb").pngsave(wide)
    fast = Way(name="fast", filter=AS_THE_WORKER.filter)
    monkeypatch.setattr(module, "WAYS", (AS_THE_WORKER, fast))
    ran: list[Task] = []

    class Loop(BareLoop):
        def __init__(self) -> None:
            """Has no processes."""

        def run(self, tasks: Sequence[Task], filter: str) -> float:  # noqa: A002
            ran[:] = tasks
            for task in tasks:
                AS_THE_WORKER.filter(
                    task.picture.source, task.picture.target, parse_pipeline(filter), task.format
                )
            return 100.0 if tasks[0].way == 0 else 1.0

    limit = Limit(Loop(), tmp_path / "scratch")
    limit.choose([plain, wide], "grayscale")
    limit.filter(
        [Picture(plain, tmp_path / "a.png"), Picture(wide, tmp_path / "b.png")], "grayscale"
    )
    assert {task.picture.source: task.way for task in ran} == {plain: 1, wide: 0}


def test_pictures_that_cannot_be_filtered_are_found(
    photograph: Callable[[str], Path], tmp_path: Path
) -> None:
    """Those that are none, those that end too soon, and those that are gone."""
    sound = photograph(".jpg")
    cut, text = tmp_path / "cut.jpg", tmp_path / "text.png"
    cut.write_bytes(sound.read_bytes()[:-200])
    text.write_text("no picture")
    with BareLoop(processes=1) as loop:
        limit = Limit(loop, tmp_path / "scratch")
        unfit = limit.unfit([sound, cut, text, tmp_path / "gone.png"], "grayscale")
    assert unfit == [cut, text, tmp_path / "gone.png"]
