"""Why pictures of a batch wait, and how many may."""

import shutil
import tempfile
from collections.abc import Callable

from dpip.client import Client
from dpip.errors import DpipError, NoSpaceLeft
from dpip.model.job import JobState

_MOST_OBSTACLES = 5
_LEAST_ROOM = 1 << 20
_ROOM_OF_A_WORKER = 64 << 20


class Waiting:
    """Says why pictures wait, each reason once while it holds."""

    def __init__(self, client: Client, say: Callable[..., None], *, own_system: bool) -> None:
        self._client = client
        self._say = say
        self._own_system = own_system
        self._said = ""

    def tell(self, image_id: str) -> None:
        """Say why the original waits. Raises ``NoSpaceLeft`` if nothing here can go on."""
        if self._own_system:
            check_room()
        try:
            explanation = self._client.explain(image_id)
        except DpipError:  # Settled and removed meanwhile, or the transfers will tell.
            return
        if explanation.state is not JobState.PENDING or explanation.summary == self._said:
            return
        self._said = explanation.summary
        obstacles = explanation.obstacles
        lines = [f"Waiting: {explanation.summary}"]
        lines += [f"  Worker {each.worker} {each.reason}." for each in obstacles[:_MOST_OBSTACLES]]
        if len(obstacles) > _MOST_OBSTACLES:
            lines.append(
                f"  {len(obstacles) - _MOST_OBSTACLES} more workers cannot take it either."
            )
        if explanation.remedy:
            lines.append(f"  What to do: {explanation.remedy}")
        self._say(*lines)


def room_for_originals(workers: int) -> int:
    """Bytes of originals that a system of this command's own may hold at once.

    It is enough to keep its workers busy, and a quarter of what is free at most: the temporary
    directory has the originals, their results, and copies of both that workers make.
    """
    return min(workers * _ROOM_OF_A_WORKER, shutil.disk_usage(tempfile.gettempdir()).free // 4)


def check_room() -> None:
    """Raise ``NoSpaceLeft`` if the temporary directory is full."""
    if shutil.disk_usage(tempfile.gettempdir()).free < _LEAST_ROOM:
        raise no_room()


def no_room() -> NoSpaceLeft:
    """The error of a full temporary directory."""
    return NoSpaceLeft(folder=f"the temporary directory {tempfile.gettempdir()}")
