"""What ``dpip.ports.datastore.Leadership`` promises, and what a deposed scheduler cannot do."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from dpip.controller.datastore import SqlDatastore
from dpip.errors import Deposed
from dpip.model.leadership import SCHEDULER, Leader
from tests.contract.builders import (
    BROKEN,
    NO_TERM,
    NOW,
    Job,
    add_job,
    build_placement,
    lease,
    pending_ids,
)

Decide = Callable[[SqlDatastore, str, int], Awaitable[object]]

DECISIONS: dict[str, Decide] = {
    "lease": lambda store, job, term: store.lease([build_placement(job, "grace")], term=term),
    "lease again": lambda store, job, term: store.lease_again(
        build_placement(job, "grace"), term=term
    ),
    "fail": lambda store, job, term: store.fail_pending([job], BROKEN, term=term, now=NOW),
}


async def take_lead(datastore: SqlDatastore, holder: str = "one") -> int:
    """Begin the next term, whatever the present one is."""
    leader = await datastore.leader(SCHEDULER)
    term = await datastore.take_lead(SCHEDULER, holder, after_term=leader.term)
    assert term is not None
    return term


async def test_nobody_leads_at_first(datastore: SqlDatastore) -> None:
    """That is term 0, which can be neither kept nor resigned from."""
    assert await datastore.leader(SCHEDULER) == Leader(term=0, holder=None, beat=0)
    assert not await datastore.keep_lead(SCHEDULER, term=0)
    await datastore.resign(SCHEDULER, term=0)
    assert await datastore.leader(SCHEDULER) == Leader()


async def test_each_leader_has_a_term_of_its_own(datastore: SqlDatastore) -> None:
    """Terms grow by one, and the one before can be neither kept nor resigned from any more."""
    assert [await take_lead(datastore, name) for name in ("one", "two", "two")] == [1, 2, 3]
    leader = Leader(term=3, holder="two", beat=0)
    assert await datastore.leader(SCHEDULER) == leader
    for term in (1, 2, 4):
        assert not await datastore.keep_lead(SCHEDULER, term=term)
        await datastore.resign(SCHEDULER, term=term)
    assert await datastore.leader(SCHEDULER) == leader


@pytest.mark.parametrize("after_term", [0, 1, 3])
async def test_the_lead_is_taken_after_the_present_term_only(
    datastore: SqlDatastore, after_term: int
) -> None:
    """Who has seen another one is too late, and changes nothing."""
    await take_lead(datastore)
    await take_lead(datastore)
    assert await datastore.take_lead(SCHEDULER, "late", after_term=after_term) is None
    assert await datastore.leader(SCHEDULER) == Leader(term=2, holder="one", beat=0)


async def test_a_sign_of_life_can_be_seen(datastore: SqlDatastore) -> None:
    """Each makes the leader another value."""
    term = await take_lead(datastore)
    seen = [await datastore.leader(SCHEDULER)]
    for _ in range(2):
        assert await datastore.keep_lead(SCHEDULER, term=term)
        seen.append(await datastore.leader(SCHEDULER))
    assert len(set(seen)) == 3


async def test_who_has_resigned_leads_no_more(datastore: SqlDatastore) -> None:
    """The term stays the last one, without a holder, until another takes the lead."""
    term = await take_lead(datastore)
    await datastore.resign(SCHEDULER, term=term)
    assert await datastore.leader(SCHEDULER) == Leader(term=term, holder=None, beat=0)
    assert not await datastore.keep_lead(SCHEDULER, term=term)
    assert await take_lead(datastore, "two") == term + 1


async def test_each_part_has_a_leader_of_its_own(datastore: SqlDatastore) -> None:
    """The terms of one part say nothing of another's."""
    await take_lead(datastore)
    assert await datastore.take_lead("another", "two", after_term=0) == 1
    assert (await datastore.leader(SCHEDULER)).holder == "one"


@pytest.mark.parametrize("terms_before", [0, 3])
async def test_of_many_that_take_the_lead_together_one_has_it(
    datastore: SqlDatastore, second_datastore: SqlDatastore, terms_before: int
) -> None:
    """Processes that have seen the same silence do not both lead, the first time neither."""
    for _ in range(terms_before):
        await take_lead(datastore)
    taken = await asyncio.gather(
        *(
            store.take_lead(SCHEDULER, str(number), after_term=terms_before)
            for number, store in enumerate([datastore, second_datastore] * 5)
        )
    )
    assert sorted(taken, key=str) == [terms_before + 1, *[None] * 9]
    leader = await datastore.leader(SCHEDULER)
    assert leader.holder == str(taken.index(terms_before + 1))


# What a term is good for


async def another_job(datastore: SqlDatastore, job: Job, decision: str) -> str:
    """The id of a job on which the decision can be made: one that is leased, to lease it again."""
    if decision == "lease again":
        (leader,) = [await datastore.leader(SCHEDULER)]
        await datastore.lease([build_placement(job.id)], term=leader.term)
    return job.id


@pytest.mark.parametrize("decision", DECISIONS)
async def test_the_leader_decides(datastore: SqlDatastore, decision: str) -> None:
    """In its own term, and once it has resigned until another leads."""
    term = await take_lead(datastore)
    for _ in range(2):
        job = await another_job(datastore, await add_job(datastore), decision)
        assert await DECISIONS[decision](datastore, job, term)
        await datastore.resign(SCHEDULER, term=term)


@pytest.mark.parametrize("decision", DECISIONS)
@pytest.mark.parametrize("term", [NO_TERM, 1, 3])
async def test_the_deposed_decides_nothing(
    datastore: SqlDatastore, decision: str, term: int
) -> None:
    """``Deposed`` names both terms; no job moves, and the leader can still decide on it."""
    for _ in range(2):
        await take_lead(datastore)
    job = await another_job(datastore, await add_job(datastore), decision)
    before = (await pending_ids(datastore), await datastore.leases())
    with pytest.raises(Deposed) as refusal:
        await DECISIONS[decision](datastore, job, term)
    assert refusal.value.facts == {"term": term, "present": 2}
    assert (await pending_ids(datastore), await datastore.leases()) == before
    assert await DECISIONS[decision](datastore, job, 2)


async def test_what_was_leased_in_an_earlier_term_stays_leased(datastore: SqlDatastore) -> None:
    """A change of leaders costs no worker its lease."""
    job = await add_job(datastore)
    held = await lease(datastore, job)
    await take_lead(datastore)
    assert await datastore.leases() == [held]
    assert await datastore.give_back(held)


async def test_a_lead_taken_meanwhile_is_seen_by_every_decision(
    datastore: SqlDatastore, second_datastore: SqlDatastore
) -> None:
    """Whatever is leased in the first term was leased before the second one began."""
    term = await take_lead(datastore)
    jobs = [await add_job(datastore) for _ in range(20)]

    async def place(job: Job) -> int:
        try:
            return len(await datastore.lease([build_placement(job.id)], term=term))
        except Deposed:
            return 0

    async def depose() -> int:
        await second_datastore.take_lead(SCHEDULER, "two", after_term=term)
        return len(await second_datastore.leases())

    deposing = asyncio.create_task(depose())
    placed = await asyncio.gather(*(place(job) for job in jobs))
    assert sum(placed) == len(await datastore.leases()) == await deposing
