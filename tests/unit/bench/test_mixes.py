from pathlib import Path

import pytest
import pyvips

from dpip.bench import mixes
from dpip.bench.mixes import MIXES, make_mix


@pytest.fixture
def photographs(tmp_path: Path) -> list[Path]:
    files = [tmp_path / "colour.png", tmp_path / "gray.png"]
    for bands, file in zip((3, 1), files, strict=True):
        pyvips.Image.gaussnoise(60, 40, mean=128).bandjoin([128] * (bands - 1)).cast(
            "uchar"
        ).pngsave(str(file))
    return files


@pytest.mark.parametrize("mix", MIXES)
def test_a_mix_has_the_pictures_that_it_says(
    mix: str, photographs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sizes and formats are those of the mix, no two pictures are alike, and they come again."""
    monkeypatch.setattr(mixes, "_FRAMES", 3)
    monkeypatch.setattr(mixes, "_MEGAPIXELS", (1, 2))
    monkeypatch.setattr(mixes, "_THUMBNAILS", 6)
    made = []
    for name in ("first", "second"):
        folder = tmp_path / name
        folder.mkdir()
        make_mix(mix, photographs, folder)
        made.append({file.name: file.read_bytes() for file in folder.iterdir()})
    assert made[0] == made[1]
    assert len(set(made[0].values())) == len(made[0])
    sizes = {
        (name.split("-")[0], image.width, image.height)
        for name in made[0]
        if (image := pyvips.Image.new_from_file(str(tmp_path / "first" / name)))
    }
    expected = {
        "frames": {("frame", 1280, 720)},
        "photographs": {("photograph", 1224, 816), ("photograph", 1732, 1155)},
        "thumbnails": {("thumbnail", 256, 256)},
    }
    if mix == "mixed":
        assert {"frame", "photograph", "thumbnail"} == {kind for kind, _, _ in sizes}
    else:
        assert sizes == expected[mix]
