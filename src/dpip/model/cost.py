"""What a picture takes: as it was measured, and as it is predicted."""

from typing import Annotated

from msgspec import Meta, Struct

from dpip.model.worker import Quantity

Milliseconds = Annotated[float, Meta(ge=0, le=1e9)]


class Cost(Struct, frozen=True, kw_only=True):
    """What an attempt took on its worker.

    ``milliseconds`` is the time on the pixels by the clock, ``cpu_milliseconds`` that of all CPU
    cores together, ``memory`` the most bytes that its process occupied.
    """

    milliseconds: Milliseconds
    cpu_milliseconds: Milliseconds
    memory: Quantity


class Prediction(Struct, frozen=True, kw_only=True):
    """What a job will take on a worker of some class.

    ``cpu_milliseconds`` is the expected time; ``memory`` is in bytes and on the safe side;
    ``gpu_memory`` is in bytes, of a job that uses a GPU. ``learned_from`` is the number of finished
    jobs that the prediction rests on, 0 for one made of what DPIP assumes.
    """

    cpu_milliseconds: float
    memory: int
    gpu_memory: int = 0
    learned_from: int = 0
