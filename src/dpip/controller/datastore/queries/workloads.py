"""Workloads and their images."""

from collections.abc import Collection, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Select, bindparam, delete, func, insert, select, text, update

from dpip.controller.datastore.prepared import Prepared
from dpip.controller.datastore.queries import rates
from dpip.controller.datastore.queries.locks import lock_owner, lock_workload
from dpip.controller.datastore.queries.workers import record
from dpip.controller.datastore.tables import (
    images,
    jobs,
    removed_images,
    removed_workloads,
    workloads,
)
from dpip.errors import NotFound
from dpip.model.activity import Activity, ActivityKind
from dpip.model.image import Image, ImageKind, PictureFormat, PictureHeader
from dpip.model.job import Failure, FailureCode, JobState, SettledJob
from dpip.model.note import notes_as_text, notes_in_text
from dpip.model.quota import QuotaLimits, check_uploads, exceeded, room_for_upload
from dpip.model.rate import Count
from dpip.model.requirements import Requirements
from dpip.model.workload import JobCounts, RemovedWorkload, Usage, Workload

_MOST_IDS = 500
"""Ids in one statement; databases bound how many values it may have."""

_INSERT_WORKLOAD = insert(workloads)
_INSERT_IMAGE = Prepared(insert(images))
_INSERT_JOB = Prepared(
    insert(jobs).values(
        id=bindparam("job_id"),
        workload_id=bindparam("of_workload"),
        image_id=bindparam("of_image"),
        state=JobState.PENDING.value,
        attempt=0,
        failures=0,
        retry_at=0.0,
    )
)
_WORKLOAD = Prepared(select(workloads).where(workloads.c.id == bindparam("wanted")))
_IMAGES = select(images, workloads.c.name, workloads.c.owner_id).join_from(
    images, workloads, images.c.workload_id == workloads.c.id
)
_IMAGE = Prepared(_IMAGES.where(images.c.id == bindparam("wanted")))
_IMAGE_WITH_KEY = Prepared(
    _IMAGES.where(
        images.c.workload_id == bindparam("in_workload"),
        images.c.upload_key == bindparam("with_key"),
    )
)
_RECORDED = select(images.c.id).where(images.c.id.in_(bindparam("wanted", expanding=True)))
_COUNT_ONE_MORE = Prepared(
    update(workloads)
    .where(workloads.c.id == bindparam("of_workload"))
    .values(
        pending=workloads.c.pending + 1,
        stored_bytes=workloads.c.stored_bytes + bindparam("more_bytes"),
    )
)
_RETRY_FAILED = (
    update(jobs)
    .where(jobs.c.workload_id == bindparam("of_workload"), jobs.c.state == JobState.FAILED.value)
    .values(
        state=JobState.PENDING.value,
        failures=0,
        retry_at=0.0,
        worker=None,
        why=None,
        position=None,
        failure_code=None,
        failure_reason=None,
        # What they failed may have been too much under limits that were raised since.
        failed_by=None,
    )
)
_COUNT_RETRIED = (
    update(workloads)
    .where(workloads.c.id == bindparam("of_workload"))
    .values(
        pending=workloads.c.pending + bindparam("moved"),
        failed=workloads.c.failed - bindparam("moved"),
    )
)
_USAGE = Prepared(
    select(
        func.coalesce(func.sum(workloads.c.stored_bytes), 0).label("stored_bytes"),
        func.coalesce(func.sum(workloads.c.pending), 0).label("pending_jobs"),
    ).where(workloads.c.owner_id == bindparam("wanted"))
)
_FILTERED_IMAGE_IDS = (
    select(jobs.c.filtered_image_id)
    .where(jobs.c.workload_id == bindparam("wanted"), jobs.c.filtered_image_id.is_not(None))
    .order_by(jobs.c.image_id)
)
_FAILED_JOBS = (
    select(jobs)
    .where(jobs.c.workload_id == bindparam("wanted"), jobs.c.state == JobState.FAILED.value)
    .order_by(jobs.c.image_id)
)
_SETTLED_JOBS = Prepared(
    select(jobs, images.c.format, images.c.sha256, images.c.notes)
    .outerjoin_from(jobs, images, jobs.c.filtered_image_id == images.c.id)
    .where(jobs.c.workload_id == bindparam("wanted"), jobs.c.position > bindparam("after"))
    .order_by(jobs.c.position)
    .limit(bindparam("most"))
)


def add_workload(connection: Connection, workload: Workload) -> None:
    connection.execute(
        _INSERT_WORKLOAD,
        {
            "id": workload.id,
            "name": workload.name,
            "owner_id": workload.owner_id,
            "pipeline": workload.pipeline,
            "created_at": workload.created_at,
            "started": False,
            "pending": 0,
            "leased": 0,
            "done": 0,
            "failed": 0,
            "settled": 0,
            "stored_bytes": 0,
            "requirements": msgspec.json.encode(workload.requirements).decode(),
        },
    )
    record(
        connection,
        Activity(
            at=workload.created_at,
            kind=ActivityKind.WORKLOAD_CREATED,
            subject=workload.id,
            detail=workload.name,
        ),
    )


def workload(connection: Connection, workload_id: str) -> Workload | None:
    row = _WORKLOAD.row(connection, {"wanted": workload_id})
    return _workload(row) if row else None


def page_of_workloads(
    connection: Connection, owner_id: str | None, limit: int, before: str | None
) -> list[Workload]:
    query = _newest_first(owner_id, limit)
    if before is not None:
        query = query.where(workloads.c.id < before)
    return [_workload(row) for row in connection.execute(query)]


def active_workloads(connection: Connection, owner_id: str | None, limit: int) -> list[Workload]:
    query = _newest_first(owner_id, limit).where(
        (workloads.c.pending > 0) | (workloads.c.leased > 0)
    )
    return [_workload(row) for row in connection.execute(query)]


def usage(connection: Connection, owner_id: str) -> Usage:
    row = _USAGE.row(connection, {"wanted": owner_id})
    return Usage(stored_bytes=int(row.stored_bytes), pending_jobs=int(row.pending_jobs))


def filtered_image_ids(connection: Connection, workload_id: str) -> list[str]:
    return list(connection.scalars(_FILTERED_IMAGE_IDS, {"wanted": workload_id}))


def failed_jobs(connection: Connection, workload_id: str) -> list[SettledJob]:
    rows = connection.execute(_FAILED_JOBS, {"wanted": workload_id})
    return [settled_job(row) for row in rows]


def settled_jobs(
    connection: Connection, workload_id: str, after: int, limit: int
) -> list[SettledJob]:
    blanks = {"wanted": workload_id, "after": after, "most": limit}
    return [
        settled_job(row, row.format, row.sha256, notes_in_text(row.notes or ""))
        for row in _SETTLED_JOBS.rows(connection, blanks)
    ]


def add_original(
    connection: Connection,
    image: Image,
    job_id: str,
    key: str | None = None,
    limits: QuotaLimits | None = None,
) -> Image:
    if limits:
        lock_owner(connection, image.owner_id)
    if key is not None:
        lock_workload(connection, image.workload_id)  # Of two with one key, the other waits.
        wanted = {"in_workload": image.workload_id, "with_key": key}
        if known := _IMAGE_WITH_KEY.row(connection, wanted):
            if limits:
                count_upload(connection, image.owner_id, image.created_at)
            return image_in(known)
    if limits:
        _check_quotas(connection, image, limits)
        count_upload(connection, image.owner_id, image.created_at)
    more = {"of_workload": image.workload_id, "more_bytes": image.size}
    if not _COUNT_ONE_MORE.run(connection, more):
        raise NotFound(kind="workload", id=image.workload_id)
    insert_image(connection, image, key)
    job = {"job_id": job_id, "of_workload": image.workload_id, "of_image": image.id}
    _INSERT_JOB.run(connection, job)
    return image


def _check_quotas(connection: Connection, image: Image, limits: QuotaLimits) -> None:
    """Raise for one picture too many. The owner is locked, so no other process adds one."""
    owner_id, now = image.owner_id, image.created_at
    check_uploads(limits, recent_uploads(connection, owner_id, now), now)
    room = room_for_upload(limits, usage(connection, owner_id), image.size)
    if room < image.size:
        raise exceeded(limits, room)


def recent_uploads(connection: Connection, owner_id: str, now: float) -> list[Count]:
    return rates.recent(connection, _uploads_of(owner_id), now)


def count_upload(connection: Connection, owner_id: str, now: float) -> None:
    rates.count(connection, _uploads_of(owner_id), now)


def _uploads_of(owner_id: str) -> str:
    return f"uploads of {owner_id}"


def retry_failed(connection: Connection, workload_id: str) -> int:
    lock_workload(connection, workload_id)
    moved = connection.execute(_RETRY_FAILED, {"of_workload": workload_id}).rowcount
    connection.execute(_COUNT_RETRIED, {"of_workload": workload_id, "moved": moved})
    return moved


def remove_workload(connection: Connection, workload_id: str, now: float) -> None:
    name = lock_workload(connection, workload_id)
    connection.execute(delete(jobs).where(jobs.c.workload_id == workload_id))
    connection.execute(delete(images).where(images.c.workload_id == workload_id))
    connection.execute(delete(workloads).where(workloads.c.id == workload_id))
    connection.execute(
        insert(removed_workloads), {"id": workload_id, "name": name, "removed_at": now}
    )
    record(
        connection,
        Activity(at=now, kind=ActivityKind.WORKLOAD_REMOVED, subject=workload_id, detail=name),
    )


def removed_workloads_of(connection: Connection, workload_id: str | None) -> list[RemovedWorkload]:
    query = select(removed_workloads)
    if workload_id is not None:
        query = query.where(removed_workloads.c.id == workload_id)
    return [
        RemovedWorkload(id=row.id, name=row.name, removed_at=row.removed_at)
        for row in connection.execute(query)
    ]


def forget_removed_workloads(connection: Connection, before: float) -> None:
    connection.execute(delete(removed_workloads).where(removed_workloads.c.removed_at < before))


def images_to_remove(connection: Connection) -> list[Image]:
    found = connection.scalars(select(removed_images.c.image))
    return [msgspec.json.decode(image, type=Image) for image in found]


def forget_removed_images(connection: Connection, image_ids: Sequence[str]) -> None:
    for start in range(0, len(image_ids), _MOST_IDS):
        gone = removed_images.c.id.in_(image_ids[start : start + _MOST_IDS])
        connection.execute(delete(removed_images).where(gone))


def remove_settled(connection: Connection, workload_id: str, through: int) -> list[Image]:
    lock_workload(connection, workload_id)
    settled = (jobs.c.workload_id == workload_id) & (jobs.c.position <= through)
    gone = connection.execute(
        select(jobs.c.image_id, jobs.c.filtered_image_id, jobs.c.state).where(settled)
    ).all()
    image_ids = [id for job in gone for id in (job.image_id, job.filtered_image_id) if id]  # noqa: A001
    connection.execute(delete(jobs).where(settled))
    removed: list[Image] = []
    for start in range(0, len(image_ids), _MOST_IDS):
        wanted = images.c.id.in_(image_ids[start : start + _MOST_IDS])
        removed += map(image_in, connection.execute(_IMAGES.where(wanted)))
        connection.execute(delete(images).where(wanted))
    if removed:
        as_json = [
            {"id": image.id, "image": msgspec.json.encode(image).decode()} for image in removed
        ]
        connection.execute(insert(removed_images), as_json)
    done = sum(job.state == JobState.DONE.value for job in gone)
    connection.execute(
        update(workloads)
        .where(workloads.c.id == workload_id)
        .values(
            done=workloads.c.done - done,
            failed=workloads.c.failed - (len(gone) - done),
            stored_bytes=workloads.c.stored_bytes - sum(image.size for image in removed),
        )
    )
    return removed


def insert_image(connection: Connection, image: Image, key: str | None = None) -> None:
    header = image.header
    _INSERT_IMAGE.run(
        connection,
        {
            "id": image.id,
            "workload_id": image.workload_id,
            "kind": image.kind.value,
            "source_id": image.source_id,
            "format": header.format.value,
            "width": header.width,
            "height": header.height,
            "frames": header.frames,
            "bands": header.bands,
            "depth": header.depth,
            "size": image.size,
            "sha256": image.sha256,
            "created_at": image.created_at,
            "upload_key": key,
            "notes": notes_as_text(image.notes),
        },
    )


def image(connection: Connection, image_id: str) -> Image | None:
    row = _IMAGE.row(connection, {"wanted": image_id})
    return image_in(row) if row else None


def recorded_images(connection: Connection, image_ids: Collection[str]) -> set[str]:
    if connection.dialect.name == "postgresql":
        # Waits for every transaction that has added an image and not ended yet.
        connection.execute(text("LOCK TABLE images IN SHARE MODE"))
    return set(connection.scalars(_RECORDED, {"wanted": list(image_ids)}))


def image_in(row: Any) -> Image:
    """The image in a row of ``images`` together with its workload's name and owner."""
    return Image(
        id=row.id,
        workload_id=row.workload_id,
        workload_name=row.name,
        owner_id=row.owner_id,
        kind=ImageKind(row.kind),
        header=header_in(row),
        size=row.size,
        sha256=row.sha256,
        created_at=row.created_at,
        source_id=row.source_id,
        notes=notes_in_text(row.notes),
    )


def header_in(row: Any) -> PictureHeader:
    """The header in a row of ``images``."""
    return PictureHeader(
        format=PictureFormat(row.format),
        width=row.width,
        height=row.height,
        frames=row.frames,
        bands=row.bands,
        depth=row.depth,
    )


def settled_job(
    row: Any,
    filtered_format: str | None = None,
    filtered_sha256: str | None = None,
    notes: tuple[str, ...] = (),
) -> SettledJob:
    """The settled job in a row of ``jobs``, with what is told of its filtered image."""
    failure = None
    if row.state == JobState.FAILED.value:
        failure = Failure(code=FailureCode(row.failure_code), reason=row.failure_reason)
    return SettledJob(
        position=row.position,
        image_id=row.image_id,
        state=JobState(row.state),
        filtered_image_id=row.filtered_image_id,
        filtered_format=PictureFormat(filtered_format) if filtered_format else None,
        filtered_sha256=filtered_sha256,
        worker=row.worker,
        milliseconds=row.milliseconds,
        failure=failure,
        notes=notes,
    )


def _newest_first(owner_id: str | None, limit: int) -> Select[Any]:
    query = select(workloads).order_by(workloads.c.id.desc()).limit(limit)
    return query if owner_id is None else query.where(workloads.c.owner_id == owner_id)


def counts_in(row: Any) -> JobCounts:
    """The counts in a row of ``workloads``."""
    return JobCounts(pending=row.pending, leased=row.leased, done=row.done, failed=row.failed)


def requirements_in(row: Any) -> Requirements:
    """The requirements in a row of ``workloads``."""
    return msgspec.json.decode(row.requirements, type=Requirements)


def _workload(row: Any) -> Workload:
    return Workload(
        id=row.id,
        name=row.name,
        owner_id=row.owner_id,
        pipeline=row.pipeline,
        created_at=row.created_at,
        started=bool(row.started),
        counts=counts_in(row),
        requirements=requirements_in(row),
    )
