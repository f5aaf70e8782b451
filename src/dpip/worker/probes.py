"""What this node has to give, as its operating system and its GPU driver tell it."""

import contextlib

import psutil
import pynvml
import structlog

from dpip.model.worker import MOST_GPUS, Gpu, Resources

log = structlog.get_logger()


class ResourceProbe:
    """Reads the node's resources. CPU load is that since the reading before."""

    def __init__(self) -> None:
        psutil.cpu_percent()
        self._gpus: list[object] = []
        with contextlib.suppress(pynvml.NVMLError):
            pynvml.nvmlInit()
            self._gpus = [
                pynvml.nvmlDeviceGetHandleByIndex(index)
                for index in range(min(pynvml.nvmlDeviceGetCount(), MOST_GPUS))
            ]

    def read(self) -> Resources:
        """Return a reading; without an NVIDIA driver its list of GPUs is empty."""
        memory = psutil.virtual_memory()
        return Resources(
            cpu=_share(psutil.cpu_percent()),
            cores=psutil.cpu_count() or 1,
            memory_total=memory.total,
            memory_available=memory.available,
            gpus=tuple(self._read_gpus()),
        )

    def _read_gpus(self) -> list[Gpu]:
        gpus = []
        for handle in self._gpus:
            try:
                memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
                gpus.append(
                    Gpu(
                        name=str(pynvml.nvmlDeviceGetName(handle)),
                        utilisation=_share(pynvml.nvmlDeviceGetUtilizationRates(handle).gpu),
                        memory_used=int(memory.used),
                        memory_total=int(memory.total),
                    )
                )
            except pynvml.NVMLError as error:
                log.warning("GPU not readable", reason=str(error))
        return gpus


def _share(percent: float) -> float:
    # Clocks of several cores that are read one after the other add up to a little more.
    return min(1.0, max(0.0, percent / 100))
