"""What a picture has to pass before it is kept: originals of users, results of workers."""

import contextlib
from collections.abc import Mapping

from dpip.api.context import Context
from dpip.api.lookup import visible_workload
from dpip.api.picture_limits import check_limits
from dpip.api.refusal import refuse_result
from dpip.api.upload import Upload
from dpip.errors import DpipError, InvalidValue, NotFound, StaleAttempt, UnsupportedPicture
from dpip.filters.pipeline import decode_pipeline
from dpip.filters.result_header import check_result_header
from dpip.model.ids import is_id, new_id
from dpip.model.image import Image, ImageKind
from dpip.model.job import Lease, LeasedJob
from dpip.model.note import notes_in_text
from dpip.model.quota import QuotaLimits
from dpip.model.user import User
from dpip.model.workload import Workload

_LARGEST = 2**31 - 1


async def workload_of(context: Context, user: User, fields: Mapping[str, str]) -> Workload:
    """The workload that the fields of an original name. Raises ``NotFound``, ``InvalidValue``."""
    return await visible_workload(context, user, _required(fields, "workload_id"))


async def take_original(
    context: Context,
    workload: Workload,
    upload: Upload,
    key: str | None = None,
    *,
    limits: QuotaLimits | None = None,
) -> Image:
    """Keep an original and its pending job; both are durable on return.

    If ``key`` came with an earlier upload to the workload, that one's image is returned.
    Raises ``NotFound`` if the workload is gone, ``UnsupportedPicture``, ``InvalidValue``, also for
    a key that came with another picture, and what the datastore does for one beyond ``limits``.
    """
    header = await context.headers.do(upload.staged)
    check_limits(header, context.settings)
    image = Image(
        id=new_id(),
        workload_id=workload.id,
        workload_name=workload.name,
        owner_id=workload.owner_id,
        kind=ImageKind.ORIGINAL,
        header=header,
        size=upload.staged.size,
        sha256=upload.staged.sha256,
        created_at=context.clock.now(),
    )
    await context.images.keep(upload.staged, image)
    try:
        recorded = await context.datastore.add_original(image, new_id(), key, limits=limits)
    except DpipError:
        await _remove_unrecorded(context, image)
        raise
    if recorded.id != image.id:
        await context.images.remove(image)
        if recorded.sha256 != image.sha256:
            raise InvalidValue(
                field="Idempotency-Key",
                value=key,
                allowed="in this workload it came with another picture; give each its own",
            )
    context.hints.one_more_job(image.workload_id)
    return recorded


async def leased_job(
    context: Context, worker: str, fields: Mapping[str, str]
) -> tuple[Lease, LeasedJob]:
    """The lease that the fields of a result name, and its job.

    Raises ``StaleAttempt`` unless ``worker`` holds the lease, ``InvalidValue`` if none is named.
    """
    lease = Lease(
        job_id=_required(fields, "job_id"),
        attempt=int(_number(fields, "attempt")),
        worker=worker,
    )
    job = await context.datastore.leased_job(lease) if is_id(lease.job_id) else None
    if job is None:
        raise StaleAttempt(attempt=lease.attempt, job_id=lease.job_id)
    return lease, job


async def take_result(context: Context, upload: Upload, lease: Lease, job: LeasedJob) -> Image:
    """Keep the result of a job and finish the job with it; both are durable on return.

    Raises ``StaleAttempt`` unless the lease is held still. Raises ``UnsupportedPicture`` or
    ``InvalidValue`` if the picture is not what came of the job; then the attempt has failed.
    """
    original = job.original
    milliseconds = _number(upload.fields, "milliseconds")
    workload_id = _required(upload.fields, "workload_id")
    sha256 = _required(upload.fields, "sha256")
    try:
        _check_equal("workload_id", workload_id, original.workload_id, "the job is of the workload")
        _check_equal("sha256", sha256, upload.staged.sha256, "what came in has")
        notes = notes_in_text(upload.fields.get("notes", ""))
        header = await context.headers.do(upload.staged)
        check_result_header(header, original.header, decode_pipeline(job.pipeline))
    except (InvalidValue, UnsupportedPicture) as error:
        await refuse_result(context, lease, original, error)
        raise
    now = context.clock.now()
    image = Image(
        id=new_id(),
        workload_id=original.workload_id,
        workload_name=original.workload_name,
        owner_id=original.owner_id,
        kind=ImageKind.FILTERED,
        header=header,
        size=upload.staged.size,
        sha256=upload.staged.sha256,
        created_at=now,
        source_id=original.id,
        notes=notes,
    )
    try:
        await context.images.keep(upload.staged, image)
    except NotFound as gone:
        raise StaleAttempt(job_id=lease.job_id, attempt=lease.attempt) from gone
    try:
        await context.datastore.complete(lease, image, milliseconds=milliseconds, now=now)
    except DpipError:
        await _remove_unrecorded(context, image)
        raise
    context.hints.settled(image.workload_id)
    return image


async def _remove_unrecorded(context: Context, image: Image) -> None:
    # A commit whose answer was lost may have happened, so only what the datastore denies goes.
    with contextlib.suppress(DpipError):
        if await context.datastore.recorded_images([image.id]):
            return
        await context.images.remove(image)
        # Of a workload that was removed the upload has made the directories anew.
        if await context.datastore.removed_workloads(image.workload_id):
            await context.images.remove_workload(image.workload_name, image.workload_id)


def _required(fields: Mapping[str, str], name: str) -> str:
    value = fields.get(name)
    if not value:
        raise InvalidValue(field=name, value=value, allowed="it has to be given")
    return value


def _check_equal(field: str, value: str, expected: str, whose: str) -> None:
    if value != expected:
        raise InvalidValue(field=field, value=value, allowed=f"{whose} {expected}")


def _number(fields: Mapping[str, str], name: str) -> float:
    value = _required(fields, name)
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if not 0 <= number <= _LARGEST:
        raise InvalidValue(field=name, value=value, allowed=f"a number of 0 to {_LARGEST}")
    return number
