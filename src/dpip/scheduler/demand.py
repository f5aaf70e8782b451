"""What a job asks of a worker."""

from msgspec import Struct

from dpip.model.requirements import GpuUse


class Demand(Struct, frozen=True, kw_only=True):
    """What a job asks of a worker, and of the machine that it runs on.

    ``memory`` and ``gpu_memory`` are in bytes, as they are predicted, and ``milliseconds`` what it
    takes on an average worker of the fleet. ``failed_by`` are the workers that have failed it, and
    are not to have it again while another one could. ``express``: its owner has
    nothing in hand, nor had more than a fair share, so that it waits for the next slot alone.
    """

    tags: frozenset[str] = frozenset()
    prefer_tags: frozenset[str] = frozenset()
    gpu: GpuUse = GpuUse.NEVER
    memory: int = 0
    gpu_memory: int = 0
    milliseconds: float = 0.0
    failed_by: frozenset[str] = frozenset()
    express: bool = False
