"""ImageMagick as a person would type it: mogrify, eight pictures a call, a process a core.

python bench/peers/mogrify.py blur:sigma=3 PICTURES OUT
"""

import contextlib
import os
import shutil
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from shared.environments import program
from shared.peer import CORES, PNG_LEVEL, QUALITY, LeftOut, Pictures, Started, Steps, main
from shared.shell import A_CALL, version_of, xargs

UP = 2
ONE_THREAD = {**os.environ, "MAGICK_THREAD_LIMIT": "1", "OMP_NUM_THREADS": "1"}


@contextlib.contextmanager
def start() -> Iterator[Started]:
    magick = shutil.which("magick")
    mogrify = [magick, "mogrify"] if magick else [program("mogrify", "imagemagick")]
    yield Started(
        f"{version_of([*mogrify, '-version']).removeprefix('Version: ')}, xargs -P{CORES} mogrify, "
        "a thread each",
        lambda steps, pictures: _filter(mogrify, steps, pictures),
    )


def _filter(mogrify: list[str], steps: Steps, pictures: Pictures) -> None:
    operations = []
    for step in steps:
        match step:
            case {"filter": "grayscale"}:
                operations += ["-colorspace", "Gray"]
            case {"filter": "blur", "sigma": float(sigma)}:
                operations += ["-blur", f"0x{sigma:g}"]
            case {"filter": "sharpen", "sigma": float(sigma), "amount": float(amount)}:
                operations += ["-unsharp", f"0x{sigma:g}+{amount:g}+0"]
            case {"filter": "thumbnail", "size": int(side)}:
                # Twice as large is decoded, where the format has it.
                operations += ["-define", f"jpeg:size={2 * side}x{2 * side}"]
                operations += ["-thumbnail", f"{side}x{side}>"]
            case other:
                raise LeftOut(f"it has no {other['filter']}")
    calls = defaultdict(list)
    for source, target in pictures:
        png = source.lower().endswith(".png")
        calls[Path(target).parent, 10 * PNG_LEVEL + UP if png else QUALITY].append(source)
    for (folder, quality), sources in calls.items():
        command = [*mogrify, "-path", str(folder), *operations, "-quality", str(quality)]
        xargs(command, sources, A_CALL, env=ONE_THREAD)


main(start)
