"""Workers beside the system that they work for, on the same machine."""

import asyncio
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from dpip.supervision import SupervisedProcess

_GRACE_SECONDS = 5.0


class LocalWorkers:
    """``count`` worker processes that join at ``controller``, started again when they die.

    They find the join token in ``data_dir``. Stopped, they have ``drain_seconds`` for the jobs in
    hand.
    """

    def __init__(
        self, controller: str, count: int, *, data_dir: Path, log_level: str, drain_seconds: float
    ) -> None:
        self._processes = [
            SupervisedProcess(
                f"worker local-{number}",
                [
                    *(sys.executable, "-m", "dpip", "worker"),
                    *("--controller", controller, "--worker-name", f"local-{number}"),
                ],
                environment={
                    "DPIP_DATA_DIR": str(data_dir),
                    "DPIP_LOG_LEVEL": log_level,
                    "DPIP_JOIN_TOKEN": "",  # nosec B105 # none: theirs is in the data directory
                },
                grace_seconds=drain_seconds + _GRACE_SECONDS,
                pass_output_through=True,
            )
            for number in range(1, count + 1)
        ]

    async def __aenter__(self) -> Self:
        """Start them; they join when the controller is there."""
        await asyncio.gather(*(process.start() for process in self._processes))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Stop them; does nothing to those that are stopped already."""
        await asyncio.gather(*(process.stop() for process in self._processes))
