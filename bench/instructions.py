"""Count the instructions of the hot paths, and fail if a path takes clearly more than it did.

Counted are the instructions of Python's virtual machine, which no other work on the machine
changes: the same code gives the same count, on any processor. What compiled code does counts as one
call. A count belongs to a version of Python, so there are baselines for each.
"""

import argparse
import gc
import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from bench.hot_paths import HOT_PATHS, HotPath

BASELINES = Path(__file__).parent / "baselines" / "instructions.json"
VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"

TraceFunction = Callable[[FrameType, str, Any], Any]

TOLERANCE = 0.05
"""Of a count; less is no clear regression, as with a new version of a library."""

WARM_UP = 3


def count(path: HotPath) -> int:
    """Instructions of one call, once all caches are warm."""
    for _ in range(WARM_UP):
        path()
    _traced(path)  # Python prepares code for tracing when it is first traced.
    return _traced(path)


def _traced(path: HotPath) -> int:
    counted = 0

    def on_call(frame: FrameType, _event: str, _argument: object) -> TraceFunction:
        frame.f_trace_lines, frame.f_trace_opcodes = False, True
        return on_instruction

    def on_instruction(_frame: FrameType, event: str, _argument: object) -> TraceFunction:
        nonlocal counted
        counted += event == "opcode"
        return on_instruction

    gc.collect()
    gc.disable()
    sys.settrace(on_call)
    try:
        path()
    finally:
        sys.settrace(None)
        gc.enable()
    return counted


def main() -> int:
    """Print every count beside its baseline. The exit code is 1 if one has clearly grown."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--update", action="store_true", help="take the counts as baselines")
    arguments.add_argument("--baselines", type=Path, default=BASELINES, help="where they are")
    given = arguments.parse_args()
    baselines = json.loads(given.baselines.read_text())
    known = baselines.get(VERSION, {})
    with tempfile.TemporaryDirectory() as scratch:
        counts = {make.__name__: count(make(Path(scratch))) for make in HOT_PATHS}
    grown = False
    for make in HOT_PATHS:
        name = make.__name__
        before = known.get(name)
        change = "no baseline" if before is None else f"{counts[name] / before - 1:+8.1%}"
        too_much = before is not None and counts[name] > before * (1 + TOLERANCE)
        grown = grown or too_much
        print(f"{name:<22}{counts[name]:>10}  {change}{'  REGRESSION' * too_much}  {make.__doc__}")
    if given.update:
        baselines[VERSION] = counts
        given.baselines.write_text(json.dumps(baselines, indent=2, sort_keys=True) + "\n")
        return 0
    new = sorted(counts.keys() - known.keys())
    if new:
        print(f"No baseline for Python {VERSION}: {', '.join(new)}. make bench-check UPDATE=yes")
    if grown:
        print(
            f"A path takes over {TOLERANCE:.0%} more instructions than before. If that is meant, "
            "renew the baselines: make bench-check UPDATE=yes"
        )
    return int(grown or bool(new))


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != "0":  # The order of sets is part of what is done.
        os.execve(  # noqa: S606  # nosec B606 # this program again
            sys.executable,
            [sys.executable, *sys.orig_argv[1:]],
            {**os.environ, "PYTHONHASHSEED": "0"},
        )
    sys.exit(main())
