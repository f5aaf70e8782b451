"""The GPUs of this node, as NVIDIA's driver tells of them."""

import contextlib
from collections.abc import Collection

import pynvml
import structlog

from dpip.model.worker import MOST_GPUS, Gpu
from dpip.plain_text import plain

log = structlog.get_logger()

_IN_USE = 0.1
"""Of a GPU's time: a desktop that is idle takes less."""


class Gpus:
    """All of them; without a driver, none."""

    def __init__(self) -> None:
        self._gpus: list[object] = []
        with contextlib.suppress(pynvml.NVMLError):
            pynvml.nvmlInit()
            self._gpus = [
                pynvml.nvmlDeviceGetHandleByIndex(index)
                for index in range(min(pynvml.nvmlDeviceGetCount(), MOST_GPUS))
            ]

    def read(self) -> list[Gpu]:
        """Return a reading of each that can be read."""
        gpus = []
        for handle in self._gpus:
            try:
                memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
                gpus.append(
                    Gpu(
                        name=plain(pynvml.nvmlDeviceGetName(handle))[:96],
                        utilisation=_utilisation(handle),
                        memory_used=int(memory.used),
                        memory_total=int(memory.total),
                    )
                )
            except pynvml.NVMLError as error:
                log.warning("GPU not readable", reason=str(error))
        return gpus

    def used_by_others(self, own: Collection[int]) -> str | None:
        """Name a GPU that another program uses than those with the process ids ``own``, if any.

        It does if it computes there, or draws more than an idle desktop does while none of ours is
        there.
        """
        for number, handle in enumerate(self._gpus):
            with contextlib.suppress(pynvml.NVMLError):
                computing = {each.pid for each in _computing(handle)}
                is_ours = not computing.isdisjoint(own)
                if computing - set(own) or (not is_ours and _utilisation(handle) > _IN_USE):
                    return f"GPU {number} ({pynvml.nvmlDeviceGetName(handle)})"
        return None


def _computing(handle: object) -> list[pynvml.c_nvmlProcessInfo_t]:
    try:
        processes: list[pynvml.c_nvmlProcessInfo_t] = pynvml.nvmlDeviceGetComputeRunningProcesses(
            handle
        )
    except pynvml.NVMLError:  # Not every driver tells them.
        return []
    return processes


def _utilisation(handle: object) -> float:
    percent: int = pynvml.nvmlDeviceGetUtilizationRates(handle).gpu
    return min(1.0, max(0.0, percent / 100))
