"""A worker that says of every picture, as soon as it has it, that it cannot be decoded.

Run as ``dpip`` is.
"""

from dpip.cli.main import main
from dpip.model.job import Failure, FailureCode
from dpip.wire.messages import Outcome, OutcomeKind, Run
from dpip.worker.image_client import ImageClient
from dpip.worker.workshop import Workshop


async def fail(self: Workshop, run: Run, images: ImageClient) -> Outcome:
    return Outcome(
        job_id=run.job_id,
        attempt=run.attempt,
        kind=OutcomeKind.FAILED,
        failure=Failure(code=FailureCode.DECODE_FAILED, reason="The picture ends too early."),
    )


if __name__ == "__main__":
    Workshop.work_on = fail  # type: ignore[method-assign]
    main()
