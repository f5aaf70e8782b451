"""The vips program of the system as a person would type it, a call a picture, a process a core.

python bench/peers/vips.py blur:sigma=3 PICTURES OUT
"""

import contextlib
import os
import shlex
from collections.abc import Iterator

from shared.environments import program
from shared.peer import CORES, PNG_LEVEL, QUALITY, LeftOut, Pictures, Started, Steps, main
from shared.shell import version_of, xargs

ONE_THREAD = {**os.environ, "VIPS_CONCURRENCY": "1"}


@contextlib.contextmanager
def start() -> Iterator[Started]:
    vips = program("vips", "libvips-tools")
    yield Started(
        f"{version_of([vips, '--version'])}, xargs -P{CORES} vips, a thread each", _filter
    )


def _filter(steps: Steps, pictures: Pictures) -> None:
    lines = [_commands(steps, source, target) for source, target in pictures]
    xargs(["sh", "-c"], lines, 1, env=ONE_THREAD)


def _commands(steps: Steps, source: str, target: str) -> str:
    """The calls for one picture: all but the last write an uncompressed file beside the target."""
    saved = f"{target}[{_options(source)}]"
    between = [f"{target}-{number}.v" for number in range(1, len(steps))]
    calls = [
        _call(step, before, after)
        for step, before, after in zip(steps, [source, *between], [*between, saved], strict=True)
    ]
    return " && ".join(calls) + "".join(f"; rm -f {shlex.quote(file)}" for file in between)


def _call(step: dict, source: str, target: str) -> str:
    match step:
        case {"filter": "grayscale"}:
            return shlex.join(["vips", "colourspace", source, target, "b-w"])
        case {"filter": "blur", "sigma": float(sigma)}:
            return shlex.join(["vips", "gaussblur", source, target, f"{sigma:g}"])
        case {"filter": "sharpen", "sigma": float(sigma)}:
            return shlex.join(["vips", "sharpen", source, target, "--sigma", f"{sigma:g}"])
        case {"filter": "thumbnail", "size": int(side)}:
            box = [str(side), "--height", str(side), "--size", "down"]
            return shlex.join(["vips", "thumbnail", source, target, *box])
        case other:
            raise LeftOut(f"it has no {other['filter']}")


def _options(source: str) -> str:
    png = source.lower().endswith(".png")
    return f"compression={PNG_LEVEL},filter=up,strip" if png else f"Q={QUALITY},strip"


main(start)
