"""What waits, in a real datastore, and workers that are known by their heartbeats."""

from collections.abc import Sequence

from dpip.controller.datastore import SqlDatastore
from dpip.model.cost import Prediction
from dpip.model.ids import new_id
from dpip.model.image import Image, ImageKind, PictureFormat, PictureHeader
from dpip.model.job import Lease
from dpip.model.requirements import NO_REQUIREMENTS, Requirements
from dpip.model.user import Role, User
from dpip.model.workload import Workload
from dpip.scheduler.backlog import Backlog
from dpip.scheduler.fleet import Fleet
from dpip.scheduler.matchmaker import Match, Matches, Matchmaker
from dpip.scheduler.policies import least_loaded
from dpip.scheduler.prediction import CostModel
from tests.integration.controller.parts import HandClock
from tests.unit.scheduler.nodes import GIB, MIB, heartbeat

MEGAPIXEL = 1_000_000
TERM = 0


class Assumed(CostModel):
    """Takes a picture's megapixels for its milliseconds, and its bytes for those of memory."""

    def predict(
        self,
        pipeline: bytes,
        header: PictureHeader,
        size: int,
        processor: str = "",
        *,
        gpu: bool = False,
    ) -> Prediction:
        return Prediction(
            cpu_milliseconds=header.pixels / MEGAPIXEL,
            memory=size,
            gpu_memory=size if gpu else 0,
        )


class Marketplace:
    """Jobs and workers, and the rounds that bring them together."""

    def __init__(self, datastore: SqlDatastore, *, batch_milliseconds: float = 0.0) -> None:
        self.datastore = datastore
        self.clock = HandClock()
        self.fleet = Fleet(least_loaded, silence_seconds=1e9)
        self.backlog = Backlog(datastore)
        self.matchmaker = Matchmaker(
            self.backlog,
            self.fleet,
            Assumed(),
            self.clock,
            policy="least_loaded",
            batch_milliseconds=batch_milliseconds,
            memory_limit=1 << 40,
        )

    async def add_user(self, name: str, weight: int = 1) -> str:
        user = User(id=name, name=name, role=Role.USER, password_hash="", created_at=0)
        await self.datastore.add_user(user)
        await self.datastore.set_weight(name, weight)
        return name

    async def add_workload(
        self, owner: str = "owner", requirements: Requirements = NO_REQUIREMENTS
    ) -> str:
        workload = Workload(
            id=new_id(),
            name="w",
            owner_id=owner,
            pipeline=b"[]",
            created_at=0,
            requirements=requirements,
        )
        await self.datastore.add_workload(workload)
        return workload.id

    async def add_jobs(
        self, workload_id: str, count: int = 1, *, milliseconds: int = 100, memory: int = MIB
    ) -> list[str]:
        job_ids = [new_id() for _ in range(count)]
        for job_id in job_ids:
            image = Image(
                id=new_id(),
                workload_id=workload_id,
                workload_name="w",
                owner_id="",
                kind=ImageKind.ORIGINAL,
                header=PictureHeader(
                    format=PictureFormat.PNG, width=milliseconds * 1000, height=1000
                ),
                size=memory,
                sha256="00",
                created_at=0,
            )
            await self.datastore.add_original(image, job_id)
        return job_ids

    def hear(
        self,
        name: str = "w",
        *,
        slots: int = 1,
        prefetch: int = 0,
        memory: int = GIB,
        tags: Sequence[str] = (),
        machine: str = "",
    ) -> None:
        beat = heartbeat(
            slots=slots,
            prefetch=prefetch,
            tags=tuple(tags),
            memory_total=memory,
            memory_available=memory,
            machine=machine,
        )
        self.fleet.heard(name, "i", beat, self.clock.monotonic())

    async def round(self) -> Matches:
        """What one round finds; it is leased."""
        await self.backlog.refresh(now=self.clock.now(), slots=self.fleet.slots)
        matches = await self.matchmaker.match()
        placements = [match.placement for match in matches.found]
        promises = {match.job.id: match.promise for match in matches.found}
        for lease in await self.datastore.lease(placements, term=TERM):
            self.fleet.granted(promises[lease.job_id], lease)
        return matches

    async def found(self) -> list[Match]:
        return (await self.round()).found

    def end(self, lease: Lease) -> None:
        """The job is done, as far as the fleet goes."""
        self.fleet.ended(lease)
