import pytest

from dpip.model.workload import JobCounts, Workload, WorkloadStatus

STATUSES = [
    (False, JobCounts(), WorkloadStatus.SCHEDULING),
    (False, JobCounts(pending=2), WorkloadStatus.SCHEDULING),
    (True, JobCounts(pending=1, leased=1), WorkloadStatus.RUNNING),
    (True, JobCounts(pending=1, done=1), WorkloadStatus.RUNNING),
    (True, JobCounts(done=1, failed=1), WorkloadStatus.COMPLETED),
    (False, JobCounts(failed=2), WorkloadStatus.COMPLETED),
]


@pytest.mark.parametrize(("started", "counts", "status"), STATUSES)
def test_the_status_is_that_of_the_jobs(
    started: bool, counts: JobCounts, status: WorkloadStatus
) -> None:
    """A workload is completed once nothing is to do, also if no job of it could ever start."""
    workload = Workload(
        id="w",
        name="w",
        owner_id="o",
        pipeline=b"",
        created_at=0,
        started=started,
        counts=counts,
    )
    assert workload.status is status
