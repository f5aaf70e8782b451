"""What ``dpip.ports.datastore.Workloads`` promises."""

import asyncio

import pytest

from dpip.controller.datastore import SqlDatastore
from dpip.errors import NotFound, StaleAttempt
from dpip.model.activity import Activity, ActivityKind
from dpip.model.ids import new_id
from dpip.model.job import Failure, FailureCode, JobState, Lease, SettledJob
from dpip.model.workload import JobCounts, Usage, WorkloadStatus
from tests.contract.builders import (
    BROKEN,
    NO_TERM,
    NOW,
    add_job,
    add_jobs,
    add_workload,
    build_filtered,
    build_original,
    build_placement,
    build_workload,
    complete,
    fail_for_good,
    ids,
    lease,
    pending_ids,
    pending_jobs,
)
from tests.contract.conftest import Query


async def test_a_workload_comes_back_as_added(datastore: SqlDatastore) -> None:
    """Every field is kept, and it has no jobs yet."""
    workload = build_workload(name="naïve / 名前\n..")
    await datastore.add_workload(workload)
    assert await datastore.workload(workload.id) == workload
    assert workload.counts == JobCounts()


async def test_an_unknown_id_has_no_workload(datastore: SqlDatastore) -> None:
    """The answer is ``None``."""
    assert await datastore.workload(new_id()) is None


async def test_the_creation_of_a_workload_is_recorded(datastore: SqlDatastore) -> None:
    """The record carries its time, its id and its name."""
    workload = await add_workload(datastore)
    assert await datastore.activities(limit=10) == [
        Activity(
            at=NOW,
            kind=ActivityKind.WORKLOAD_CREATED,
            subject=workload.id,
            detail=workload.name,
        )
    ]


async def test_a_name_may_be_used_again(datastore: SqlDatastore) -> None:
    """Workloads are told apart by their ids."""
    first, second = [await add_workload(datastore, name="same") for _ in range(2)]
    assert await datastore.workloads(owner_id=None, limit=10) == [second, first]


async def test_a_workload_counts_its_jobs_by_state(datastore: SqlDatastore) -> None:
    """Each of its jobs counts once, in the state in which it is now."""
    workload = await add_workload(datastore)
    done, failed, leased, *_ = await add_jobs(datastore, workload, 5)
    await complete(datastore, done)
    await fail_for_good(datastore, failed)
    await lease(datastore, leased)
    found = await datastore.workload(workload.id)
    assert found
    assert found.counts == JobCounts(pending=2, leased=1, done=1, failed=1)


async def test_a_workload_is_running_from_its_first_lease_on(datastore: SqlDatastore) -> None:
    """It does not fall back to scheduling when the lease is given back."""
    workload = await add_workload(datastore)
    job = await add_job(datastore, workload)
    statuses = []
    for _ in range(2):
        found = await datastore.workload(workload.id)
        assert found
        statuses.append(found.status)
        await datastore.give_back(await lease(datastore, job))
    assert statuses == [WorkloadStatus.SCHEDULING, WorkloadStatus.RUNNING]


async def test_workloads_come_newest_first_in_pages(datastore: SqlDatastore) -> None:
    """Each page goes on below the last id of the page before, to the end."""
    created = [await add_workload(datastore, name=str(number)) for number in range(5)]
    listed, before = [], None
    for expected in (2, 2, 1, 0):
        page = await datastore.workloads(owner_id=None, limit=2, before=before)
        assert len(page) == expected
        listed += page
        before = listed[-1].id
    assert listed == created[::-1]


async def test_workloads_of_one_owner_leave_the_others_out(datastore: SqlDatastore) -> None:
    """Pages of an owner hold that owner's workloads only."""
    alice, bob = new_id(), new_id()
    mine = []
    for _ in range(3):
        mine.append(await add_workload(datastore, alice))
        await add_workload(datastore, bob)
    first = await datastore.workloads(owner_id=alice, limit=2)
    rest = await datastore.workloads(owner_id=alice, limit=2, before=first[-1].id)
    assert first + rest == mine[::-1]
    assert await datastore.workloads(owner_id=new_id(), limit=2) == []


async def test_active_workloads_have_jobs_to_do(datastore: SqlDatastore) -> None:
    """Pending and leased jobs make a workload active; none, done and failed ones do not."""
    pending, leased, done, failed, empty = [await add_workload(datastore) for _ in range(5)]
    await add_job(datastore, pending)
    await lease(datastore, await add_job(datastore, leased))
    await complete(datastore, await add_job(datastore, done))
    await fail_for_good(datastore, await add_job(datastore, failed))
    active = await datastore.active_workloads(owner_id=None, limit=10)
    assert ids(active) == [leased.id, pending.id]
    assert empty.id not in ids(active)


async def test_active_workloads_are_limited_and_of_an_owner(datastore: SqlDatastore) -> None:
    """The newest are kept, and an owner sees their own."""
    alice, bob = new_id(), new_id()
    workloads = [await add_workload(datastore, owner) for owner in (alice, alice, bob)]
    for workload in workloads:
        await add_job(datastore, workload)
    everybodys = await datastore.active_workloads(owner_id=None, limit=2)
    assert ids(everybodys) == ids(workloads[:0:-1])
    alices = await datastore.active_workloads(owner_id=alice, limit=10)
    assert ids(alices) == ids(workloads[1::-1])


async def test_filtered_images_come_in_upload_order(datastore: SqlDatastore) -> None:
    """The order in which they were finished does not show, and other workloads do not either."""
    workload = await add_workload(datastore)
    first, second, failed, _ = await add_jobs(datastore, workload, 4)
    later = (await complete(datastore, second)).filtered_image_id
    await fail_for_good(datastore, failed)
    earlier = (await complete(datastore, first)).filtered_image_id
    await complete(datastore, await add_job(datastore))
    assert await datastore.filtered_image_ids(workload.id) == [earlier, later]


async def test_failed_jobs_come_in_upload_order(datastore: SqlDatastore) -> None:
    """Each has its own reason, and whoever else has failed or not is left out."""
    workload = await add_workload(datastore)
    first, done, second, retried = await add_jobs(datastore, workload, 4)
    other = Failure(code=FailureCode.TIMED_OUT, reason="It took too long.")
    await fail_for_good(datastore, second, other)
    await complete(datastore, done)
    await fail_for_good(datastore, first)
    await datastore.fail(await lease(datastore, retried), BROKEN, jitter=0.0, now=NOW)
    await fail_for_good(datastore, await add_job(datastore))
    assert await datastore.failed_jobs(workload.id) == [
        SettledJob(
            position=position,
            image_id=job.original.id,
            state=JobState.FAILED,
            worker="ada",
            failure=failure,
        )
        for position, job, failure in ((3, first, BROKEN), (1, second, other))
    ]


async def test_settled_jobs_come_in_the_order_of_settling(datastore: SqlDatastore) -> None:
    """Positions begin at 1, done and failed ones share them, and jobs to do have none."""
    workload = await add_workload(datastore)
    first, second, third, _ = await add_jobs(datastore, workload, 4)
    done = await complete(datastore, third)
    await fail_for_good(datastore, first)
    last = await complete(datastore, second)
    settled = await datastore.settled_jobs(workload.id, after=0, limit=10)
    assert [job.position for job in settled] == [1, 2, 3]
    assert [job.image_id for job in settled] == [job.original.id for job in (third, first, second)]
    assert settled[0] == done
    assert settled[1].failure == BROKEN
    assert settled[2] == last


async def test_settled_jobs_are_read_on_from_a_position(datastore: SqlDatastore) -> None:
    """Pages follow each other without gap or repetition, and the last one is empty."""
    workload = await add_workload(datastore)
    for job in await add_jobs(datastore, workload, 5):
        await complete(datastore, job)
    positions, after = [], 0
    for expected in (2, 2, 1, 0):
        page = await datastore.settled_jobs(workload.id, after=after, limit=2)
        assert len(page) == expected
        positions += [job.position for job in page]
        after = positions[-1]
    assert positions == [1, 2, 3, 4, 5]


async def test_positions_are_counted_by_workload(datastore: SqlDatastore) -> None:
    """Jobs of another workload take none of them and are not read."""
    first, second = await add_job(datastore), await add_job(datastore)
    await complete(datastore, first)
    await complete(datastore, second)
    (settled,) = await datastore.settled_jobs(second.original.workload_id, after=0, limit=10)
    assert (settled.position, settled.image_id) == (1, second.original.id)


async def test_positions_have_no_gap_when_jobs_settle_together(
    datastore: SqlDatastore, second_datastore: SqlDatastore
) -> None:
    """Two processes that finish jobs at the same time give each job a position of its own."""
    workload = await add_workload(datastore)
    jobs = await add_jobs(datastore, workload, 30)
    leases = await datastore.lease([build_placement(job.id) for job in jobs], term=NO_TERM)
    originals = {job.id: job.original for job in jobs}
    stores = (datastore, second_datastore)
    settled = await asyncio.gather(
        *(
            stores[number % 2].complete(
                held, build_filtered(originals[held.job_id]), milliseconds=1.0, now=NOW
            )
            for number, held in enumerate(leases)
        )
    )
    assert sorted(job.position for job in settled) == list(range(1, 31))
    read = await datastore.settled_jobs(workload.id, after=0, limit=100)
    assert read == sorted(settled, key=lambda job: job.position)


async def test_a_reader_with_a_cursor_misses_nothing(
    datastore: SqlDatastore, second_datastore: SqlDatastore
) -> None:
    """Whoever reads on while two processes settle jobs sees each job once, in order."""
    workload = await add_workload(datastore)
    jobs = await add_jobs(datastore, workload, 30)
    half = len(jobs) // 2

    async def settle(store: SqlDatastore, part: slice) -> None:
        for job in jobs[part]:
            await complete(store, job)

    settling = asyncio.gather(
        settle(datastore, slice(None, half)), settle(second_datastore, slice(half, None))
    )
    positions: list[int] = []
    while len(positions) < len(jobs):
        all_are_settled = settling.done()
        after = positions[-1] if positions else 0
        page = await datastore.settled_jobs(workload.id, after=after, limit=7)
        positions += [job.position for job in page]
        if all_are_settled and not page:
            break
    await settling
    assert positions == list(range(1, 31))


async def test_an_original_comes_with_a_pending_job(datastore: SqlDatastore) -> None:
    """Image and job are there together, and the image is as it was added."""
    job = await add_job(datastore)
    assert await datastore.image(job.original.id) == job.original
    assert await pending_ids(datastore) == [job.id]


async def test_an_original_needs_its_workload(datastore: SqlDatastore, query: Query) -> None:
    """``NotFound`` is raised, and neither image nor job is kept."""
    original = build_original(build_workload())
    with pytest.raises(NotFound) as refusal:
        await datastore.add_original(original, new_id())
    assert refusal.value.facts == {"kind": "workload", "id": original.workload_id}
    assert query("SELECT id FROM images UNION ALL SELECT id FROM jobs") == []


async def test_a_filtered_image_comes_back_as_added(datastore: SqlDatastore) -> None:
    """It knows its original, and its size may be beyond 32 bits."""
    job = await add_job(datastore)
    filtered = build_filtered(job.original)
    await datastore.complete(await lease(datastore, job), filtered, milliseconds=1.0, now=NOW)
    assert await datastore.image(filtered.id) == filtered


async def test_the_recorded_ones_of_many_images_are_told(datastore: SqlDatastore) -> None:
    """Originals and filtered ones alike, and no ids beside those that were asked for."""
    first, second, _other = await add_jobs(datastore, await add_workload(datastore), 3)
    done = await complete(datastore, first)
    assert done.filtered_image_id is not None
    there = {first.original.id, second.original.id, done.filtered_image_id}
    assert await datastore.recorded_images([*there, new_id(), "no id"]) == there
    assert await datastore.recorded_images([]) == set()


async def test_an_unknown_id_has_no_image(datastore: SqlDatastore) -> None:
    """The answer is ``None``."""
    assert await datastore.image(new_id()) is None


async def test_failed_jobs_are_put_back(datastore: SqlDatastore) -> None:
    """They are pending at once with nothing against them; the others stay as they are."""
    workload = await add_workload(datastore)
    broken, done, waiting = await add_jobs(datastore, workload, 3)
    await fail_for_good(datastore, broken)
    await complete(datastore, done)
    assert await datastore.retry_failed(workload.id) == 1
    assert await datastore.retry_failed(workload.id) == 0
    known = await datastore.workload(workload.id)
    assert known is not None
    assert known.counts == JobCounts(pending=2, done=1)
    assert await datastore.failed_jobs(workload.id) == []
    assert set(await pending_ids(datastore, now=NOW)) == {broken.id, waiting.id}
    pending = await pending_jobs(datastore, NOW)
    assert [job.failures for job in pending] == [0, 0]


async def test_a_job_put_back_settles_once_more(datastore: SqlDatastore) -> None:
    """At a position behind all others, so that nobody who reads on misses it."""
    workload = await add_workload(datastore)
    broken, done = await add_jobs(datastore, workload, 2)
    await fail_for_good(datastore, broken)
    await complete(datastore, done)
    await datastore.retry_failed(workload.id)
    again = await complete(datastore, broken)
    assert again.position == 3
    settled = await datastore.settled_jobs(workload.id, after=0, limit=10)
    assert [job.position for job in settled] == [2, 3]
    assert [job.state for job in settled] == [JobState.DONE, JobState.DONE]


async def test_a_removed_workload_is_gone_with_all_that_it_had(datastore: SqlDatastore) -> None:
    """Its neighbour is untouched, and the removal is recorded."""
    workload, other = [await add_workload(datastore) for _ in range(2)]
    done, waiting = await add_jobs(datastore, workload, 2)
    (kept,) = await add_jobs(datastore, other, 1)
    result = await complete(datastore, done)
    await datastore.remove_workload(workload.id, NOW)
    assert await datastore.workload(workload.id) is None
    for image_id in (done.original.id, waiting.original.id, str(result.filtered_image_id)):
        assert await datastore.image(image_id) is None
    assert await pending_ids(datastore) == [kept.id]
    recorded = (await datastore.activities(limit=1))[0]
    assert (recorded.kind, recorded.subject) == (ActivityKind.WORKLOAD_REMOVED, workload.id)


async def test_a_running_job_of_a_removed_workload_is_stale(datastore: SqlDatastore) -> None:
    """Whatever its worker says of it changes nothing."""
    workload = await add_workload(datastore)
    (job,) = await add_jobs(datastore, workload, 1)
    held = await lease(datastore, job)
    await datastore.remove_workload(workload.id, NOW)
    assert await datastore.leases() == []
    with pytest.raises(StaleAttempt):
        await datastore.complete(held, build_filtered(job.original), milliseconds=1, now=NOW)
    assert await datastore.give_back(held) is False
    assert await datastore.fail(held, BROKEN, jitter=0, now=NOW) is None


async def test_what_has_settled_is_removed_up_to_a_position(datastore: SqlDatastore) -> None:
    """Done and failed jobs with their images; what settled later, or waits, stays as it was."""
    workload = await add_workload(datastore)
    done, failed, later, waiting = await add_jobs(datastore, workload, 4)
    result = await complete(datastore, done)
    await fail_for_good(datastore, failed)
    kept = await complete(datastore, later)
    before = await datastore.usage(workload.owner_id)
    removed = await datastore.remove_settled(workload.id, through=2)
    gone = {done.original.id, failed.original.id, result.filtered_image_id}
    assert {image.id for image in removed} == gone
    assert [await datastore.image(str(image_id)) for image_id in gone] == [None] * 3
    assert await datastore.settled_jobs(workload.id, after=0, limit=9) == [kept]
    known = await datastore.workload(workload.id)
    assert known is not None
    assert known.counts == JobCounts(pending=1, done=1)
    freed = sum(image.size for image in removed)
    assert await datastore.usage(workload.owner_id) == Usage(
        stored_bytes=before.stored_bytes - freed, pending_jobs=1
    )
    assert (await complete(datastore, waiting)).position == 4
    assert await datastore.remove_settled(workload.id, through=2) == []


async def test_an_unknown_workload_is_neither_tried_again_nor_removed(
    datastore: SqlDatastore,
) -> None:
    """All raise ``NotFound``."""
    with pytest.raises(NotFound):
        await datastore.remove_settled(new_id(), through=1)
    with pytest.raises(NotFound):
        await datastore.retry_failed(new_id())
    with pytest.raises(NotFound):
        await datastore.remove_workload(new_id(), NOW)


async def test_a_removed_workload_is_remembered(datastore: SqlDatastore) -> None:
    """Its files are to go, whatever becomes of the process that removes them; then it may not."""
    kept, first, second = [await add_workload(datastore) for _ in range(3)]
    await datastore.remove_workload(first.id, NOW)
    await datastore.remove_workload(second.id, NOW + 1)
    removed = await datastore.removed_workloads()
    assert {(each.id, each.name) for each in removed} == {
        (first.id, first.name),
        (second.id, second.name),
    }
    assert await datastore.removed_workloads(kept.id) == []
    assert [each.id for each in await datastore.removed_workloads(first.id)] == [first.id]
    await datastore.forget_removed_workloads(NOW + 1)
    assert [each.id for each in await datastore.removed_workloads()] == [second.id]


async def test_an_upload_with_a_known_key_is_the_image_it_was(datastore: SqlDatastore) -> None:
    """Within its workload: nothing is added, and the first image comes back."""
    workload, other = [await add_workload(datastore) for _ in range(2)]
    first, again = build_original(workload), build_original(workload)
    assert await datastore.add_original(first, new_id(), "key") == first
    assert await datastore.add_original(again, new_id(), "key") == first
    assert await datastore.image(again.id) is None
    elsewhere = build_original(other)
    assert await datastore.add_original(elsewhere, new_id(), "key") == elsewhere
    known = await datastore.workload(workload.id)
    assert known is not None
    assert known.counts == JobCounts(pending=1)


async def test_uploads_with_one_key_at_once_are_one_image(datastore: SqlDatastore) -> None:
    """All are told of the same."""
    workload = await add_workload(datastore)
    told = await asyncio.gather(
        *(datastore.add_original(build_original(workload), new_id(), "key") for _ in range(20))
    )
    assert len({image.id for image in told}) == 1
    assert len(await pending_ids(datastore)) == 1


async def test_usage_is_what_all_workloads_of_a_user_take_up(datastore: SqlDatastore) -> None:
    """Originals and results count until their workload is removed; those of others do not."""
    first = await add_workload(datastore)
    second = await add_workload(datastore, first.owner_id)
    await add_job(datastore, await add_workload(datastore))
    job = await add_job(datastore, first)
    await add_job(datastore, second)
    size = job.original.size
    assert await datastore.usage(first.owner_id) == Usage(stored_bytes=2 * size, pending_jobs=2)
    held = await lease(datastore, job)
    filtered = build_filtered(job.original)
    await datastore.complete(held, filtered, milliseconds=1.0, now=NOW)
    taken = 2 * size + filtered.size
    assert await datastore.usage(first.owner_id) == Usage(stored_bytes=taken, pending_jobs=1)
    await datastore.remove_workload(second.id, NOW)
    taken = size + filtered.size
    assert await datastore.usage(first.owner_id) == Usage(stored_bytes=taken, pending_jobs=0)
    assert await datastore.usage(new_id()) == Usage(stored_bytes=0, pending_jobs=0)


async def test_a_refused_result_takes_up_nothing(datastore: SqlDatastore) -> None:
    """Nor does an original that comes again under its key."""
    workload = await add_workload(datastore)
    original = build_original(workload)
    await datastore.add_original(original, new_id(), "key")
    await datastore.add_original(build_original(workload), new_id(), "key")
    stale = Lease(job_id=new_id(), attempt=1, worker="ada")
    with pytest.raises(StaleAttempt):
        await datastore.complete(stale, build_filtered(original), milliseconds=1.0, now=NOW)
    usage = await datastore.usage(workload.owner_id)
    assert usage == Usage(stored_bytes=original.size, pending_jobs=1)
