"""Workers beside the system that they work for, on the same machine."""

import asyncio
import os
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from dpip.supervision import SupervisedProcess

_GRACE_SECONDS = 5.0


class LocalWorkers:
    """``count`` worker processes that join at ``controller``, started again when they die.

    One that was told to drain stays away. They find the join token in ``data_dir``. Stopped, they
    have ``drain_seconds`` for the jobs in hand.

    They load while the controller does, and dial once they are admitted: a message-passing server
    without a controller to ask would keep them waiting. It is the end of their standard input, a
    pipe that they share, by which each learns it, those too that are started later.
    """

    def __init__(
        self, controller: str, count: int, *, data_dir: Path, log_level: str, drain_seconds: float
    ) -> None:
        self._waits_on, held = os.pipe()
        self._held: int | None = held
        self._processes = [
            SupervisedProcess(
                f"worker local-{number}",
                [
                    *(sys.executable, "-m", "dpip", "worker", "--local"),
                    *("--controller", controller, "--worker-name", f"local-{number}"),
                ],
                environment={
                    "DPIP_DATA_DIR": str(data_dir),
                    "DPIP_LOG_LEVEL": log_level,
                    "DPIP_JOIN_TOKEN": "",  # nosec B105 # none: theirs is in the data directory
                },
                grace_seconds=drain_seconds + _GRACE_SECONDS,
                pass_output_through=True,
                stdin=self._waits_on,
                may_finish=True,
            )
            for number in range(1, count + 1)
        ]

    async def __aenter__(self) -> Self:
        """Start them; they join once they are admitted."""
        await asyncio.gather(*(process.start() for process in self._processes))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()
        self.admit()
        os.close(self._waits_on)

    def admit(self) -> None:
        """Let them join: there is a controller now."""
        if self._held is not None:
            os.close(self._held)
            self._held = None

    async def stop(self) -> None:
        """Stop them; does nothing to those that are stopped already."""
        await asyncio.gather(*(process.stop() for process in self._processes))


async def until_admitted() -> None:
    """Wait, as one of these workers, for the end of standard input."""
    loop = asyncio.get_running_loop()
    ended = loop.create_future()

    def look() -> None:
        if not os.read(0, 1) and not ended.done():
            ended.set_result(None)

    loop.add_reader(0, look)
    try:
        await ended
    finally:
        loop.remove_reader(0)
