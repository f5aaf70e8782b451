"""Finding what a caller may see: somebody else's object looks like one that is not there."""

from dpip.api.context import Context
from dpip.errors import NotFound
from dpip.model.ids import is_id
from dpip.model.image import Image
from dpip.model.placement import JobView
from dpip.model.user import Caller, Role, User
from dpip.model.workload import Workload


def owner_filter(user: User) -> str | None:
    """Whose objects ``user`` is shown in lists: their own, or for ``None`` everybody's."""
    return None if user.role is Role.ADMINISTRATOR else user.id


async def visible_workload(context: Context, user: User, workload_id: str) -> Workload:
    """Return the workload. Raises ``NotFound`` if there is none for this user."""
    workload = await context.datastore.workload(workload_id) if is_id(workload_id) else None
    if workload is None or not Caller(user=user).may_see(workload.owner_id):
        raise NotFound(kind="workload", id=workload_id)
    return workload


async def visible_image(context: Context, caller: Caller, image_id: str) -> Image:
    """Return the image. Raises ``NotFound`` if there is none for this caller.

    A worker sees the originals of the jobs that it holds.
    """
    image = await context.datastore.image(image_id) if is_id(image_id) else None
    if image is None or not await _may_see(context, caller, image):
        raise NotFound(kind="image", id=image_id)
    return image


async def job_of_visible_image(context: Context, caller: Caller, image_id: str) -> JobView:
    """Return the job of an original, or that made a filtered image.

    Raises ``NotFound`` as ``visible_image`` does.
    """
    image = await visible_image(context, caller, image_id)
    job = await context.datastore.job_of_image(image.id)
    if job is None:  # It has been removed meanwhile.
        raise NotFound(kind="image", id=image_id)
    return job


async def _may_see(context: Context, caller: Caller, image: Image) -> bool:
    if caller.worker is None:
        return caller.may_see(image.owner_id)
    return await context.datastore.leased_image(image.id, caller.worker)
