"""Messages that a worker may send, well-formed but for one value that is absurd."""

import math
from collections.abc import Iterator
from typing import Any

import msgspec

from dpip.model.worker import Gpu, Resources
from dpip.wire.codec import encode
from dpip.wire.messages import PROTOCOL, Heartbeat, Hello, Message, Outcome, OutcomeKind, Running

_GPU = Gpu(name="H100", utilisation=0.25, memory_used=1, memory_total=80 << 30)
_RESOURCES = Resources(cpu=0.5, cores=8, memory_total=64 << 30, memory_available=1, gpus=(_GPU,))
_NO_SHARES = (math.nan, math.inf, -math.inf, -1e6, -1e-9, 1.01, 1e308)
_NO_QUANTITIES = (-1, -(2**63), 2**53 + 1, 2**63, 2**64 - 1)
_OF_RESOURCES: list[tuple[tuple[str | int, ...], tuple[object, ...]]] = [
    (("resources", "cpu"), _NO_SHARES),
    *(
        (("resources", each), _NO_QUANTITIES)
        for each in ("cores", "memory_total", "memory_available")
    ),
    (("resources", "gpus", 0, "utilisation"), _NO_SHARES),
    (("resources", "gpus", 0, "memory_used"), _NO_QUANTITIES),
    (("resources", "gpus", 0, "memory_total"), _NO_QUANTITIES),
    (("resources", "gpus", 0, "name"), ("x" * 97, "\x1b[31m")),
    (("resources", "gpus"), ([msgspec.to_builtins(_GPU)] * 17,)),
    (("slots",), (0, -1, 1001, 10**9, 2**63, 2**64 - 1)),
    (("prefetch",), (-1, 2001, 10**9, 2**63, 2**64 - 1)),
    (
        ("tags",),
        (["x" * 65], [""], ["\x1b]8;;"], ["\u202e"], ["x"] * 17, ["x" * 1000] * 50),
    ),
]
_NO_IDS = ("", "x" * 65, "a\0", "a\n", "a b", "a.>")
_NO_ATTEMPTS = (0, -1, 2**31, 2**63, 2**64 - 1)


def _absurd(
    message: Message, places: list[tuple[tuple[str | int, ...], tuple[object, ...]]]
) -> Iterator[bytes]:
    for path, values in places:
        for value in values:
            fields: Any = msgspec.msgpack.decode(encode(message))
            place = fields
            for step in path[:-1]:
                place = place[step]
            place[path[-1]] = value
            yield msgspec.msgpack.encode(fields)


_HELLO = Hello(protocol=PROTOCOL, tags=("fast",), slots=2, prefetch=0, resources=_RESOURCES)
_RUNNING = Running(job_id="j", attempt=1)
_HEARTBEAT = Heartbeat(
    tags=("fast",), slots=2, prefetch=0, draining=False, resources=_RESOURCES, running=(_RUNNING,)
)
_OUTCOME = Outcome(job_id="j", attempt=1, kind=OutcomeKind.RETURNED)

HELLOS = list(_absurd(_HELLO, _OF_RESOURCES))
HEARTBEATS = [
    *_absurd(_HEARTBEAT, _OF_RESOURCES),
    *_absurd(
        _HEARTBEAT,
        [
            (("running", 0, "job_id"), _NO_IDS),
            (("running", 0, "attempt"), _NO_ATTEMPTS),
            (("running",), ([msgspec.to_builtins(_RUNNING)] * 3001,)),
        ],
    ),
]
OUTCOMES = list(_absurd(_OUTCOME, [(("job_id",), _NO_IDS), (("attempt",), _NO_ATTEMPTS)]))
