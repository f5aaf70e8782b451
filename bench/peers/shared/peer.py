"""What is the same for every peer: how it is told what to do, and how it answers.

A peer is a program. It installs and starts what it needs and writes one line of JSON, {"ready":
how it is set up} or {"left_out": why}. Then each line that it reads is a job, with "steps" such as
{"filter": "blur", "sigma": 3.0} and "pictures" as pairs of source and target, and is answered by
{"seconds": …} or {"left_out": why}. At the end of its input it stops what it has started. Called
with a filter and two folders, it filters one into the other and says how long that took.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

QUALITY = 85
PNG_LEVEL = 1

Steps = list[dict[str, object]]
Pictures = list[tuple[str, str]]


class LeftOut(Exception):
    """Why a peer cannot be measured, in a clause without a full stop."""


class Started(NamedTuple):
    """A peer at work: its version and settings, and how it filters pictures."""

    how: str
    filter: Callable[[Steps, Pictures], None]


def main(start: Callable[[], AbstractContextManager[Started]]) -> None:
    """Serve jobs, or one that is named on the command line."""
    answers = sys.stdout
    sys.stdout = sys.stderr  # Whatever else is printed is no answer.
    try:
        with start() as peer:
            if len(sys.argv) > 1:
                job = _typed(*sys.argv[1:])
                print(f"{peer.how}: {_filter(peer, job)}", file=answers)
                absent = [target for _, target in job["pictures"] if not Path(target).exists()]
                if absent:
                    sys.exit(f"{len(absent)} of {len(job['pictures'])} pictures did not come out.")
                return
            _answer(answers, ready=peer.how)
            for line in sys.stdin:
                job = json.loads(line)
                _answer(answers, **_filter(peer, job))
    except LeftOut as reason:
        _answer(answers, left_out=str(reason))


def _filter(peer: Started, job: dict) -> dict[str, object]:
    begin = time.perf_counter()
    try:
        peer.filter(job["steps"], [tuple(pair) for pair in job["pictures"]])
    except LeftOut as reason:
        return {"left_out": str(reason)}
    return {"seconds": time.perf_counter() - begin}


def _answer(stream, **what: object) -> None:
    print(json.dumps(what), file=stream, flush=True)


def _typed(filter: str, source: str, target: str) -> dict:  # noqa: A002
    import msgspec

    from dpip.client.folder import plan_batch
    from dpip.filters.pipeline import parse_pipeline

    # Servers have working directories of their own.
    pictures = plan_batch([Path(source).resolve()], Path(target).resolve()).pictures
    for picture in pictures:
        picture.target.parent.mkdir(parents=True, exist_ok=True)
    return {
        "steps": msgspec.to_builtins(parse_pipeline(filter).steps),
        "pictures": [(str(picture.source), str(picture.target)) for picture in pictures],
    }
