import os

import pytest

from dpip.bench import sampling
from dpip.bench.sampling import Sampler, count_parts

STACKS = """\
<module> (/x/dpip/__main__.py:1);run (/x/uvicorn/server.py:2);upload (/x/dpip/api/upload.py:3) 5
<module> (/x/dpip/__main__.py:1);complete (/x/dpip/controller/a.py:1);run (/y/sqlalchemy/b.py:9) 3
<module> (/x/dpip/__main__.py:1);place (/x/dpip/scheduler/a.py:1);heappush (/usr/lib/heapq.py:9) 2
<module> (/x/dpip/__main__.py:1);run (/usr/lib/asyncio/runners.py:118) 1
"""


def test_a_stack_counts_for_the_innermost_part_that_it_is_in() -> None:
    """What a library does counts for the part that called it, unless it is a part of its own."""
    assert count_parts(STACKS) == {
        "API: forms and uploads": 5,
        "database": 3,
        "placement": 2,
        "event loop and others": 1,
    }


def test_a_process_that_cannot_be_looked_at_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without samples, all of its time would count as spent outside the interpreter."""
    monkeypatch.setattr(sampling, "_py_spy", lambda: "false")  # A program that fails.
    with Sampler({"this": os.getpid()}) as sampler:
        pass
    assert sampler.failed is not None
    assert "SYS_PTRACE" in sampler.failed
