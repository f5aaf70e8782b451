"""Describes, beside their images, the workloads that are not described yet.

Those of an earlier version, and those whose API ended between the row and the description.
"""

from dpip.ports.datastore import Datastore
from dpip.ports.image_store import ImageStore


async def describe_workloads(datastore: Datastore, images: ImageStore) -> None:
    """Describe those that ``datastore`` knows.

    Raises ``StorageUnavailable`` or ``StorageFull`` if either of the two does.
    """
    undescribed = await images.undescribed()
    if not undescribed:
        return
    names = {user.id: user.name for user in await datastore.users()}
    for workload_id in undescribed:
        if workload := await datastore.workload(workload_id):
            results = await datastore.results_of(workload_id)
            await images.describe(workload, names.get(workload.owner_id), results)
