"""The datastore: the only truth about users, workloads, images, jobs and workers.

Each method is one transaction: on return it is durable, on an exception nothing of it happened.
Every method raises ``StorageFull`` or ``StorageUnavailable`` when the database fails. Times are
seconds since 1970.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from dpip.model.activity import Activity
from dpip.model.image import Image
from dpip.model.job import (
    Failure,
    JobState,
    Lease,
    LeasedJob,
    PendingJob,
    RefusedResult,
    SettledJob,
)
from dpip.model.join_token import JoinToken
from dpip.model.leadership import Leader
from dpip.model.placement import JobView, PlacedJob, Placement
from dpip.model.quota import QuotaLimits
from dpip.model.rate import Bound, Count
from dpip.model.user import Caller, PersonalToken, User
from dpip.model.worker import Command, Reading, Worker, WorkerState
from dpip.model.workload import RemovedWorkload, Usage, WaitingWorkload, Workload


class Users(Protocol):
    """People and the tokens that speak for them, or for a worker."""

    async def add_user(self, user: User) -> None:
        """Add ``user``. Raises ``UserExists`` for a name that is taken."""
        ...

    async def user_named(self, name: str) -> User | None:
        """The user of that name."""
        ...

    async def users(self) -> list[User]:
        """All users by name."""
        ...

    async def set_password(self, name: str, password_hash: str) -> bool:
        """Replace a user's password and end their tokens; whether there is such a user."""
        ...

    async def set_weight(self, name: str, weight: int) -> bool:
        """Set how much a user gets beside others; whether there is such a user."""
        ...

    async def remove_user(self, name: str) -> bool:
        """Remove a user and their tokens; their workloads stay for the administrators."""
        ...

    async def add_token(
        self, token_hash: str, *, user_id: str, created_at: float, expires_at: float
    ) -> None:
        """Let the token with that SHA-256 speak for a user until ``expires_at``."""
        ...

    async def add_personal_token(self, token_hash: str, token: PersonalToken) -> None:
        """Let the token with that SHA-256 speak for its user, within its scope."""
        ...

    async def personal_tokens(self, *, user_id: str | None) -> list[PersonalToken]:
        """Personal tokens, oldest first: those of one user or, for ``None``, of everybody."""
        ...

    async def revoke_token(self, token_id: str, *, user_id: str | None) -> bool:
        """End a personal token of the user or, for ``None``, of anybody; whether there is one."""
        ...

    async def note_token_use(self, used: Mapping[str, float]) -> None:
        """Keep when personal tokens were last used: times by the tokens' ids."""
        ...

    async def add_worker_token(self, token_hash: str, *, worker: str, created_at: float) -> None:
        """Let the token speak for ``worker``, in place of any token the worker had before."""
        ...

    async def caller(self, token_hash: str, now: float) -> Caller | None:
        """Whom the token speaks for; ``None`` if it is unknown or expired at ``now``."""
        ...

    async def remove_token(self, token_hash: str) -> None:
        """End a token."""
        ...


class Logins(Protocol):
    """Failed logins of the last minute, counted for all processes together."""

    async def knows_address(self, pair: str) -> bool:
        """Whether a login of this pair of address and account has succeeded."""
        ...

    async def begin_login(self, bounds: Sequence[Bound], now: float) -> list[int]:
        """Count an event of each bound, if there is room in all of them.

        Returns the seconds to wait for each; if any of them is not 0, nothing was counted.
        """
        ...

    async def end_login(self, pair: str, bounds: Sequence[Bound], began_at: float) -> None:
        """Take back what was counted at ``began_at``, and know the pair from now on."""
        ...


class Workloads(Protocol):
    """Workloads, their images, and what became of them."""

    async def add_workload(self, workload: Workload) -> None:
        """Add an empty workload and record its creation."""
        ...

    async def workload(self, workload_id: str) -> Workload | None:
        """The workload with its present counts."""
        ...

    async def workloads(
        self, *, owner_id: str | None, limit: int, before: str | None = None
    ) -> list[Workload]:
        """Workloads newest first: those of one owner or, for ``None``, of everybody.

        ``before`` is the id of the last workload of the page before.
        """
        ...

    async def active_workloads(self, *, owner_id: str | None, limit: int) -> list[Workload]:
        """Workloads with pending or leased jobs, newest first."""
        ...

    async def usage(self, owner_id: str) -> Usage:
        """What all workloads of a user take up together."""
        ...

    async def filtered_image_ids(self, workload_id: str) -> list[str]:
        """Ids of the filtered images, in the order in which the originals were uploaded."""
        ...

    async def failed_jobs(self, workload_id: str) -> list[SettledJob]:
        """The failed jobs of a workload, in the order in which the originals were uploaded."""
        ...

    async def settled_jobs(self, workload_id: str, *, after: int, limit: int) -> list[SettledJob]:
        """Jobs that settled after position ``after``, in the order in which they settled."""
        ...

    async def recent_uploads(self, owner_id: str, now: float) -> list[Count]:
        """Uploads of a user in the last minute, those that were refused too."""
        ...

    async def count_upload(self, owner_id: str, now: float) -> None:
        """Count an upload of a user that was refused."""
        ...

    async def add_original(
        self,
        image: Image,
        job_id: str,
        key: str | None = None,
        *,
        limits: QuotaLimits | None = None,
    ) -> Image:
        """Add an original and the pending job to filter it, and return the original.

        If ``key`` came with an earlier original of the workload, nothing is added, and that one is
        returned. With ``limits`` the upload is counted, and its owner takes up no more than these
        allow, however many processes add at once: it raises ``TooManyRequests``, ``TooBusy`` or
        ``QuotaExceeded``. Raises ``NotFound`` if the workload is gone.
        """
        ...

    async def retry_failed(self, workload_id: str) -> int:
        """Put the failed jobs of a workload back to pending, with all attempts before them again.

        Who has failed them is forgotten. Returns how many there were. Raises ``NotFound`` if the
        workload is gone.
        """
        ...

    async def remove_workload(self, workload_id: str, now: float) -> None:
        """Forget a workload, its images and its jobs, running ones too, and record it.

        That its files are to go is kept. Raises ``NotFound`` if it is gone.
        """
        ...

    async def removed_workloads(self, workload_id: str | None = None) -> list[RemovedWorkload]:
        """The workloads that were removed and are not forgotten yet: all, or the one of that id."""
        ...

    async def forget_removed_workloads(self, before: float) -> None:
        """Forget which workloads were removed before that time."""

    async def remove_settled(self, workload_id: str, *, through: int) -> list[Image]:
        """Forget what settled up to position ``through``: jobs, originals and results.

        Returns the images, whose bytes are to go, which is kept until ``forget_removed_images``.
        Raises ``NotFound`` if the workload is gone.
        """
        ...

    async def removed_images(self) -> list[Image]:
        """Images that were removed and whose bytes may not have gone yet."""
        ...

    async def forget_removed_images(self, image_ids: Sequence[str]) -> None:
        """Note that the bytes of removed images have gone."""
        ...

    async def image(self, image_id: str) -> Image | None:
        """The image of that id."""
        ...

    async def recorded_images(self, image_ids: Collection[str]) -> set[str]:
        """Which of ``image_ids`` there are.

        An id that is not among them, and that no living process is about to add, never will be.
        """
        ...


class Jobs(Protocol):
    """The life of jobs. Only the moves of ``dpip.model.job.ALLOWED_MOVES`` happen.

    A lease is compared on (job, attempt, worker, leased): a stale one changes nothing. Of a job
    that is leased twice, one lease that ends without a result leaves the job leased and counts no
    failure. What a scheduler decides is compared on its term.
    """

    async def waiting_workloads(self) -> list[WaitingWorkload]:
        """The workloads with pending jobs, oldest first. An owner who is gone has the weight 1."""
        ...

    async def waiting_workload(self, workload_id: str) -> WaitingWorkload | None:
        """That workload, if it has pending jobs."""
        ...

    async def pending_jobs(self, workload_id: str, *, now: float, limit: int) -> list[PendingJob]:
        """The longest-waiting pending jobs of a workload whose retry delay is over at ``now``.

        A delay that ends more than ``MAX_RETRY_DELAY`` after ``now`` counts as over.
        """
        ...

    async def jobs_before(self, job_id: str) -> int:
        """How many pending jobs of the same workload were uploaded before this one."""
        ...

    async def pending_count(self) -> int:
        """How many jobs are pending."""
        ...

    async def lease(self, placements: Sequence[Placement], *, term: int) -> list[Lease]:
        """Lease each pending job to its worker, number the attempt, and keep why.

        Jobs that are no longer pending, and workers that are quarantined, are left out of the
        answer. Raises ``Deposed`` if ``term`` is not the present one of the part ``scheduler``;
        then nothing is leased.
        """
        ...

    async def lease_again(self, placement: Placement, *, term: int) -> Lease | None:
        """Lease a job that is leased already to another worker beside the first.

        ``None`` if the job is not leased, or twice already, if this worker holds it, or if the
        worker is quarantined. Raises ``Deposed`` as ``lease`` does.
        """
        ...

    async def fail_pending(
        self, job_ids: Sequence[str], failure: Failure, *, term: int, now: float
    ) -> list[SettledJob]:
        """Fail jobs that are pending at once, and record it; others are left out of the answer.

        Raises ``Deposed`` as ``lease`` does.
        """
        ...

    async def leases(self) -> list[Lease]:
        """All leases that are out, both of a job that has two."""
        ...

    async def placed_jobs(self, job_ids: Collection[str]) -> list[PlacedJob]:
        """All leases that are out on these jobs. ``why`` is ``None`` if it cannot be read."""
        ...

    async def job_of_image(self, image_id: str) -> JobView | None:
        """The job of the original, or of the result, of that id."""
        ...

    async def quarantined_workers(self) -> set[str]:
        """Names of the workers that no job is leased to."""
        ...

    async def leased_image(self, image_id: str, worker: str) -> bool:
        """Whether ``worker`` holds a lease on the job of the original ``image_id``."""
        ...

    async def leased_job(self, lease: Lease) -> LeasedJob | None:
        """The job that ``lease`` is on; ``None`` if the lease is not held."""
        ...

    async def complete(
        self, lease: Lease, filtered: Image, *, milliseconds: float, now: float
    ) -> SettledJob:
        """Finish the job with the row of its result, in one compare-and-set; all its leases end.

        It disproves the failures of other workers on the job, which are held against them as
        refused results are, but not that a worker was lost. ``FORGIVEN_AFTER`` results in a row
        make up for what is held against their worker. Raises ``StaleAttempt`` if the lease is no
        longer held; then nothing is kept.
        """
        ...

    async def refuse_result(
        self, lease: Lease, reason: str, *, jitter: float, now: float
    ) -> RefusedResult | None:
        """Count a failed attempt, as ``fail`` does, against the worker too: its result is none.

        A worker that ``MOST_REFUSED`` jobs are held against is quarantined: its token ends, and
        what else it holds is given back. That is recorded, and why is told of the worker.
        ``None`` for a stale lease, of which nothing is counted.
        """
        ...

    async def time_out(
        self, lease: Lease, reason: str, *, jitter: float, now: float
    ) -> RefusedResult | None:
        """Count an attempt that its worker has held for too long, as if a result were refused.

        Only the code of the failure is another.
        """
        ...

    async def give_back(self, lease: Lease) -> bool:
        """End a lease without counting a failure; whether it was held.

        The job is pending again, unless it is leased twice.
        """
        ...

    async def fail(
        self, lease: Lease, failure: Failure, *, jitter: float, now: float
    ) -> JobState | None:
        """Count a failed attempt: pending again after a delay, or failed at ``MAX_FAILURES``.

        ``jitter``, in [0, 1), goes into the delay of ``dpip.model.job.retry_delay``. Returns the
        state the job is in now, or ``None`` for a stale lease. A job that is leased twice stays
        leased, and no failure is counted. That the worker has failed the job is kept in any case.
        """
        ...


class Leadership(Protocol):
    """Who leads, of several processes that could: one a part, for a term.

    Terms are compared, clocks are not. One that leads gives signs of life; who sees none of them
    for a while may take the lead, and the former one is deposed by that.
    """

    async def leader(self, part: str) -> Leader:
        """Who leads the part, or led it last."""
        ...

    async def take_lead(self, part: str, holder: str, *, after_term: int) -> int | None:
        """Begin a new term if ``after_term`` is the present one; the new term, or ``None``."""
        ...

    async def keep_lead(self, part: str, *, term: int) -> bool:
        """Give a sign of life; whether ``term`` is the present one, and not resigned from."""
        ...

    async def resign(self, part: str, *, term: int) -> None:
        """Leave the lead to others, if ``term`` is the present one."""
        ...


class Costs(Protocol):
    """What jobs take, as learned from those that are done."""

    async def cost_models(self) -> dict[str, str]:
        """All models by key."""
        ...

    async def keep_cost_models(self, models: Mapping[str, str]) -> None:
        """Keep these models in place of earlier ones of their keys."""
        ...


class Workers(Protocol):
    """Workers, their readings over time, and the record of activity.

    A quarantined worker stays in that state until it is released.
    """

    async def add_worker(self, worker: Worker) -> None:
        """Register a worker, in place of an earlier one of that name, and record that it joined.

        The join token that let it in was used when it joined. What is held against the earlier
        one is held against it, and what that one was told holds for it. Raises
        ``WorkerQuarantined`` if that one is.
        """
        ...

    async def worker(self, name: str) -> Worker | None:
        """The worker of that name."""
        ...

    async def workers(self) -> list[Worker]:
        """All workers by name. A reading that is kept and cannot be read counts as zeros."""
        ...

    async def join_tokens_at_work(self) -> dict[str, str | None]:
        """The id of the join token that let it in, of each worker that has not gone, by name.

        Those in quarantine are left out.
        """
        ...

    async def record_heartbeats(self, beats: Sequence[Reading], *, history: bool) -> None:
        """Keep these as the latest of their workers, and in the history too if ``history``.

        The state of a worker that has left or is lost stays.
        """
        ...

    async def end_worker(self, name: str, state: WorkerState, at: float) -> None:
        """Mark a worker as left or lost, and record it; not one that is quarantined.

        Its token ends in any case, and so does a command to drain.
        """
        ...

    async def set_command(self, name: str, command: Command | None) -> None:
        """Keep what a worker is to do, in place of what it was told before; it stands over joining.

        Raises ``NotFound``, ``WorkerQuarantined``, or ``WorkerGone`` for one that is not there or,
        unless it is told so once more, is to drain.
        """
        ...

    async def release_worker(self, name: str, at: float) -> bool:
        """Forget a quarantined worker, so that it may join, and record it; whether it was one."""
        ...

    async def activities(self, *, limit: int) -> list[Activity]:
        """The latest activity, newest first."""
        ...

    async def prune_history(self, before: float) -> int:
        """Forget readings and activity older than ``before``; how many rows went."""
        ...

    async def forget_workers(self, before: float) -> int:
        """Forget workers that have left or are lost, last seen ``before``; how many went."""
        ...


class JoinTokens(Protocol):
    """What lets workers in. Their secrets are not kept, only hashes of them."""

    async def add_join_token(self, token: JoinToken) -> None:
        """Add ``token``. Raises ``JoinTokenExists`` for a name that is taken."""
        ...

    async def replace_join_token(self, token: JoinToken) -> bool:
        """Put ``token`` in place of the one of its name; whether there is one."""
        ...

    async def remove_join_token(self, name: str) -> bool:
        """End a join token; whether there was one of that name."""
        ...

    async def join_token(self, token_id: str) -> JoinToken | None:
        """The join token of that id, expired or not."""
        ...

    async def join_tokens(self) -> list[JoinToken]:
        """All join tokens by name, expired ones too."""
        ...


class StoreTie(Protocol):
    """The image store that the database belongs with."""

    async def store_id(self) -> str | None:
        """The id of that image store; ``None`` if the database belongs with none yet."""
        ...

    async def tie_store(self, store_id: str, *, anew: bool = False) -> str:
        """Belong with the image store of that id, unless with another already; the id that holds.

        With ``anew`` in place of any other.
        """
        ...

    async def workloads_with_images(self) -> set[str]:
        """Ids of the workloads that have images."""
        ...


class Repairs(Protocol):
    """Rows made again of files that were found, and put right where files were lost."""

    async def images_after(self, image_id: str, *, limit: int) -> list[Image]:
        """Images by id, the first after ``image_id``."""
        ...

    async def results_of(self, workload_id: str) -> list[Image]:
        """The filtered images of a workload."""
        ...

    async def add_found_result(self, result: Image) -> bool:
        """Finish the job of an original with a result that was found; whether it had none.

        Raises ``NotFound`` if the workload is gone.
        """
        ...

    async def forget_lost_result(self, result: Image) -> None:
        """Forget a result; its job is pending again.

        Raises ``NotFound`` if the workload is gone.
        """
        ...

    async def fail_without_original(self, original: Image, failure: Failure, now: float) -> bool:
        """Have the job of an original failed for good, unless it is done; whether it is failed.

        Raises ``NotFound`` if the workload is gone.
        """
        ...


class Datastore(
    Users,
    Logins,
    Workloads,
    Jobs,
    Leadership,
    Costs,
    Workers,
    JoinTokens,
    StoreTie,
    Repairs,
    Protocol,
):
    """All of it; every part takes the narrowest of these that will do."""

    async def ready(self) -> None:
        """Return if the datastore can be read and written, else raise."""
        ...

    async def close(self) -> None:
        """Finish what has begun and let go of the database."""
        ...
