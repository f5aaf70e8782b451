"""What this node has to give, as its operating system and its GPU driver tell it."""

import math

import psutil
from msgspec import Struct

from dpip.model.worker import Resources
from dpip.worker.control_groups import ControlGroups
from dpip.worker.cpu_meter import CpuMeter
from dpip.worker.gpus import Gpus
from dpip.worker.machine import machine_id, processor_model
from dpip.worker.own_processes import OwnProcesses

_SMOOTHING_SECONDS = 3.0


class Smoothed(Struct):
    """An exponential average: a change shows to 63 % after three seconds, to 95 % after nine."""

    value: float | None = None

    def add(self, reading: float, seconds: float) -> float:
        """Take in what held for the last ``seconds``, and return the average."""
        if self.value is None:
            self.value = reading
        else:
            weight = 1 - math.exp(-seconds / _SMOOTHING_SECONDS)
            self.value += (reading - self.value) * weight
        return self.value


class ResourceProbe:
    """Reads the node's resources: CPU loads as averages over some three heartbeats (``Smoothed``).

    ``own`` are the worker's processes; the CPU of ``familiar`` ones, these or more, is no load of
    others.
    """

    def __init__(self, own: OwnProcesses, familiar: OwnProcesses) -> None:
        self._own = own
        self._familiar = familiar
        self._groups = ControlGroups()
        self._meter = CpuMeter(self._groups)
        self._gpus = Gpus()
        self._machine = machine_id(self._groups)
        self._processor = processor_model()
        self._cpu, self._cpu_others = Smoothed(), Smoothed()

    def read(self) -> Resources:
        """Return a reading; without an NVIDIA driver its list of GPUs is empty."""
        cpu = self._meter.read()
        ours = self._familiar.cpu_seconds() / cpu.seconds / cpu.cpus
        memory, limits = psutil.virtual_memory(), self._groups.memory_limits()
        return Resources(
            machine=self._machine,
            processor=self._processor,
            cpu=self._cpu.add(cpu.load, cpu.seconds),
            cpu_others=self._cpu_others.add(max(0.0, cpu.load - ours), cpu.seconds),
            cores=math.ceil(cpu.cpus),
            memory_total=min([memory.total, *(limit.total for limit in limits)]),
            memory_available=min([memory.available, *(limit.available for limit in limits)]),
            memory_ours=self._own.memory(),
            gpus=tuple(self._gpus.read()),
        )

    def gpu_used_by_others(self) -> str | None:
        """Name a GPU that another program uses, if any."""
        return self._gpus.used_by_others(self._familiar.pids())
