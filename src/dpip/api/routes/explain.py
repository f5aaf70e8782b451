"""Why a picture is where it is."""

from http import HTTPStatus

from fastapi import APIRouter

from dpip.api.auth import AnyCaller
from dpip.api.context import Context, InContext
from dpip.api.explanation import Said, explain
from dpip.api.explanation_schemas import ExplanationAnswer
from dpip.api.lookup import job_of_visible_image
from dpip.api.openapi import problems
from dpip.errors import BusUnavailable, MalformedMessage, NoAnswerInTime, NoResponder
from dpip.model.job import JobState
from dpip.model.placement import JobView
from dpip.wire import codec, subjects
from dpip.wire.messages import Refusal, Waiting, WhyPending

router = APIRouter(prefix="/images")

_ANSWER_SECONDS = 2.0


@router.get("/{image_id}/explain", responses=problems(HTTPStatus.NOT_FOUND))
async def explain_image(image_id: str, caller: AnyCaller, context: InContext) -> ExplanationAnswer:
    """Say why an image, an original or what came of it, went where it did, or why it waits."""
    job = await job_of_visible_image(context, caller, image_id)
    now = context.clock.now()
    if job.state is not JobState.PENDING:
        return explain(job, None, now)
    said = await _ask_scheduler(context, job)
    if isinstance(said, Refusal):  # It may have been placed meanwhile.
        job, now = await job_of_visible_image(context, caller, image_id), context.clock.now()
    return explain(job, said, now)


async def _ask_scheduler(context: Context, job: JobView) -> Said:
    question = codec.encode(
        WhyPending(job_id=job.id, workload_id=job.workload_id, failed_by=job.failed_by)
    )
    try:
        answer = await context.bus.request(subjects.WHY_PENDING, question, _ANSWER_SECONDS)
        return codec.decode_either(answer, Waiting, Refusal, subjects.WHY_PENDING)
    except (NoResponder, NoAnswerInTime, BusUnavailable, MalformedMessage) as error:
        return error
