"""Removes the files of workloads and images that were removed, until nothing is left of them.

The datastore says in the transaction that removes them that their files are to go. Of a workload it
says so for longer than any request takes: an upload that was under way may bring a file after that.
"""

import structlog

from dpip.errors import DpipError
from dpip.ports.datastore import Workloads
from dpip.ports.image_store import ImageStore

log = structlog.get_logger()

_REMEMBERED_SECONDS = 2 * 86_400


async def finish_removals(workloads: Workloads, images: ImageStore, now: float) -> None:
    """Remove what is left, and forget what is gone for good.

    What fails is logged, and is to be tried again. Raises ``StorageUnavailable`` or ``StorageFull``
    if ``workloads`` does.
    """
    are_finished = True
    for removed in await workloads.removed_workloads():
        try:
            await images.remove_workload(removed.name, removed.id)
        except DpipError as error:
            are_finished = False
            log.warning(
                "files of a removed workload are left, will try again",
                workload=removed.id,
                reason=str(error),
            )
    if are_finished:
        await workloads.forget_removed_workloads(now - _REMEMBERED_SECONDS)
    gone = []
    for image in await workloads.removed_images():
        try:
            await images.remove(image)
        except DpipError as error:
            log.warning(
                "file of a removed image is left, will try again",
                image=image.id,
                reason=str(error),
            )
        else:
            gone.append(image.id)
    await workloads.forget_removed_images(gone)
