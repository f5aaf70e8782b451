"""A workshop whose slots and images follow a script."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from dpip.errors import DpipError
from dpip.model.cost import Cost
from dpip.model.image import PictureFormat, PictureHeader
from dpip.model.job import Failure, FailureCode
from dpip.model.note import Note
from dpip.wire.messages import Outcome, OutcomeKind, Run
from dpip.worker import workshop as workshop_module
from dpip.worker.image_client import ApiAway, AttemptIsStale, ImageClient, OriginalUnavailable
from dpip.worker.slot import FilteredPicture, SlotFailure
from dpip.worker.workshop import Workshop
from tests.nats import PATIENCE

SLOTS, PREFETCH = 1, 1
PLACES = 3
HEADER = PictureHeader(format=PictureFormat.PNG, width=1, height=1, bands=3, depth=8)
COST = Cost(milliseconds=3, cpu_milliseconds=2, memory=1)
NOTES = (Note.FRAMES_DROPPED,)


class Gate:
    """Where things pass by name, each when a test lets it."""

    def __init__(self) -> None:
        self.at_gate: asyncio.Queue[str] = asyncio.Queue()
        self._open: dict[str, asyncio.Event] = defaultdict(asyncio.Event)

    async def pass_through(self, name: str) -> None:
        self.at_gate.put_nowait(name)
        await self._open[name].wait()

    def let(self, *names: str) -> None:
        for name in names:
            self._open[name].set()

    async def next(self) -> str:
        async with asyncio.timeout(PATIENCE):
            return await self.at_gate.get()


class ScriptedSlot:
    """Filters a picture until a test lets it go on."""

    gate: Gate

    def __init__(self, scratch: Path, _: tuple[str, ...]) -> None:
        self.scratch = scratch

    async def filter(self, source: Path, target: Path, *_: object, **__: object) -> FilteredPicture:
        name = source.read_text()
        await self.gate.pass_through(name)
        if name == "hanging":
            raise SlotFailure(Failure(code=FailureCode.TIMED_OUT, reason="It took too long."))
        target.write_bytes(b"")
        return FilteredPicture(header=HEADER, cost=COST, notes=NOTES)


class ScriptedImages(ImageClient):
    """Has each original when a test lets it, or fails with what the test says."""

    def __init__(self) -> None:
        super().__init__("http://127.0.0.1:9", "t")
        self.gate = Gate()
        self.errors: dict[str, DpipError] = {}
        self.uploaded: list[str] = []

    async def download(self, run: Run, target: Path) -> None:
        await self.gate.pass_through(run.image_id)
        if run.image_id in self.errors:
            raise self.errors[run.image_id]
        target.write_text(run.image_id)

    async def upload(
        self, run: Run, result: Path, *, milliseconds: float, notes: Sequence[Note] = ()
    ) -> None:
        assert (milliseconds, notes) == (COST.milliseconds, NOTES)
        assert result.exists()
        self.uploaded.append(run.image_id)


@pytest.fixture
async def filtering(monkeypatch: pytest.MonkeyPatch) -> Gate:
    """The gate in the slots."""
    monkeypatch.setattr(workshop_module, "Slot", ScriptedSlot)
    ScriptedSlot.gate = Gate()
    return ScriptedSlot.gate


@pytest.fixture
def workshop(filtering: Gate, tmp_path: Path) -> Workshop:
    return Workshop(SLOTS, PREFETCH, tmp_path)


@pytest.fixture
async def images() -> AsyncIterator[ScriptedImages]:
    images = ScriptedImages()
    yield images
    await images.close()


def run(name: str, *, express: bool = False) -> Run:
    return Run(
        job_id=name,
        attempt=1,
        workload_id="wl",
        workload_name="holidays",
        image_id=name,
        format=PictureFormat.PNG,
        sha256="00",
        pipeline=b"[]",
        memory_limit=1,
        time_limit=1,
        express=express,
    )


async def outcome_of(work: asyncio.Task[Outcome]) -> Outcome:
    async with asyncio.timeout(PATIENCE):
        return await work


async def test_what_is_done_says_what_it_cost(
    workshop: Workshop, images: ScriptedImages, filtering: Gate
) -> None:
    """So that the next of its kind can be predicted."""
    images.gate.let("a")
    filtering.let("a")
    outcome = await outcome_of(workshop.take_on(run("a"), images))
    assert (outcome.kind, outcome.cost) == (OutcomeKind.DONE, COST)


async def test_a_batch_is_fetched_as_it_is_filtered(
    workshop: Workshop, images: ScriptedImages, filtering: Gate, tmp_path: Path
) -> None:
    """In its order, and only a few pictures at once."""
    names = [f"{number:02}" for number in range(64)]
    works = [workshop.take_on(run(name), images) for name in names]
    images.gate.let(*names)
    for begun, name in enumerate(names, start=1):
        assert await filtering.next() == name
        assert images.gate.at_gate.qsize() < begun + PLACES
        assert len(list(tmp_path.iterdir())) <= PLACES
        filtering.let(name)
    outcomes = await asyncio.gather(*works)
    assert {outcome.kind for outcome in outcomes} == {OutcomeKind.DONE}
    assert images.uploaded == names
    assert list(tmp_path.iterdir()) == []


async def test_an_express_attempt_has_the_next_slot(
    workshop: Workshop, images: ScriptedImages, filtering: Gate
) -> None:
    """Though pictures lie there that wait for it, and what is in the slot is not interrupted."""
    names = ["a", "b", "c", "x", "y"]
    images.gate.let(*names)
    works = [workshop.take_on(run(name), images) for name in ("a", "b", "c")]
    assert await filtering.next() == "a"
    works += [workshop.take_on(run(name, express=True), images) for name in ("x", "y")]
    while await images.gate.next() != "x":
        pass
    assert filtering.at_gate.empty()
    for name in ("a", "x"):
        filtering.let(name)
    begun = [await filtering.next()]
    filtering.let(*names)
    await asyncio.gather(*works)
    begun += [await filtering.next() for _ in range(3)]
    assert begun[0] == "x"
    assert sorted(begun) == ["b", "c", "x", "y"]
    assert begun.index("b") < begun.index("c")


async def test_an_express_attempt_is_fetched_at_once(
    workshop: Workshop, images: ScriptedImages
) -> None:
    """Though all places are taken by pictures that are on their way."""
    for name in ("a", "b", "c", "d"):
        workshop.take_on(run(name), images)
    workshop.take_on(run("x", express=True), images)
    assert [await images.gate.next() for _ in range(4)] == ["a", "b", "c", "x"]
    assert images.gate.at_gate.empty()
    workshop.give_back(begun=True)


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        (AttemptIsStale(), OutcomeKind.RETURNED, None),
        (
            OriginalUnavailable(reason="it is gone"),
            OutcomeKind.FAILED,
            FailureCode.ORIGINAL_UNAVAILABLE,
        ),
    ],
)
async def test_a_bad_one_in_a_batch_ends_alone(
    workshop: Workshop,
    images: ScriptedImages,
    filtering: Gate,
    error: DpipError,
    kind: OutcomeKind,
    code: FailureCode | None,
) -> None:
    """Its neighbours are done."""
    names = ["a", "b", "bad", "c", "d"]
    images.errors["bad"] = error
    images.gate.let(*names)
    filtering.let(*names)
    works = {name: workshop.take_on(run(name), images) for name in names}
    outcomes = {name: await outcome_of(work) for name, work in works.items()}
    assert outcomes["bad"].kind is kind
    assert (failure := outcomes["bad"].failure) is None or failure.code is code
    others = {outcome.kind for name, outcome in outcomes.items() if name != "bad"}
    assert others == {OutcomeKind.DONE}
    assert images.uploaded == ["a", "b", "c", "d"]


async def test_what_waits_is_given_back_at_once(
    workshop: Workshop, images: ScriptedImages, filtering: Gate, tmp_path: Path
) -> None:
    """On its way, fetched or untouched: all but what is in a slot."""
    images.gate.let("in slot", "fetched")
    begun = workshop.take_on(run("in slot"), images)
    assert await filtering.next() == "in slot"
    waiting = [
        workshop.take_on(run(name), images) for name in ("fetched", "on its way", "untouched")
    ]
    assert [await images.gate.next() for _ in range(3)] == ["in slot", "fetched", "on its way"]
    waiting.append(workshop.take_on(run("just come"), images))
    workshop.give_back()
    for work in waiting:
        with pytest.raises(asyncio.CancelledError):
            await work
    assert [path.name for path in tmp_path.iterdir()] == ["in slot-1-original.png"]
    filtering.let("in slot")
    assert (await outcome_of(begun)).kind is OutcomeKind.DONE


async def test_all_can_be_given_back(
    workshop: Workshop, images: ScriptedImages, filtering: Gate, tmp_path: Path
) -> None:
    """What is in a slot, too."""
    images.gate.let("a")
    work = workshop.take_on(run("a"), images)
    await filtering.next()
    workshop.give_back(begun=True)
    with pytest.raises(asyncio.CancelledError):
        await work
    assert list(tmp_path.iterdir()) == []


async def test_what_waits_is_not_held_while_the_api_is_away(
    workshop: Workshop, images: ScriptedImages, filtering: Gate
) -> None:
    """Each would find it away for as long; what is in a slot may find it back."""
    images.errors["lost"] = ApiAway(seconds=30, reason="nobody there")
    images.gate.let("in slot", "lost")
    begun = workshop.take_on(run("in slot"), images)
    await filtering.next()
    waiting = [workshop.take_on(run(name), images) for name in ("lost", "a", "b")]
    for work in waiting:
        with pytest.raises(asyncio.CancelledError):
            await work
    filtering.let("in slot")
    assert (await outcome_of(begun)).kind is OutcomeKind.DONE


async def test_what_waits_is_not_held_behind_pictures_that_take_too_long(
    workshop: Workshop, images: ScriptedImages, filtering: Gate
) -> None:
    """A batch is as long as its pictures should take; with one that hangs there may be more."""
    images.gate.let("hanging", "a", "b")
    hanging = workshop.take_on(run("hanging"), images)
    await filtering.next()
    waiting = [workshop.take_on(run(name), images) for name in ("a", "b")]
    filtering.let("hanging")
    outcome = await outcome_of(hanging)
    assert outcome.failure
    assert outcome.failure.code is FailureCode.TIMED_OUT
    for work in waiting:
        with pytest.raises(asyncio.CancelledError):
            await work
