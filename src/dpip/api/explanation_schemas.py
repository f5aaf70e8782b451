"""Why a picture is where it is, as the API says it."""

from datetime import datetime

from pydantic import BaseModel, Field

from dpip.api.schemas import Bytes
from dpip.model.job import FailureCode, JobState


class ObstacleAnswer(BaseModel):
    """A worker that cannot take the picture now, and why: words that follow its name."""

    worker: str
    reason: str


class ExplanationAnswer(BaseModel):
    """Where an original is on its way, and why: in sentences for people, and as facts.

    The facts that say why it went to ``worker`` are those of the moment at which it was placed.
    """

    image_id: str = Field(description="Of the original.")
    workload_id: str
    state: JobState
    summary: str
    details: list[str]
    remedy: str | None = Field(description="What would have to change.")
    worker: str | None
    also_on: str | None = Field(description="The worker of an earlier attempt, still at it.")
    attempt: int
    failures: int
    code: FailureCode | None = Field(description="Of the latest failure.")
    reason: str | None
    retry_at: datetime | None
    placed_at: datetime | None
    policy: str | None
    known: int | None = Field(description="Workers that there are.")
    with_room: int | None = Field(description="Those of them that had room for one more job.")
    runner_up: str | None
    predicted_milliseconds: float | None = Field(description="Of CPU time, all cores together.")
    predicted_memory: Bytes | None
    milliseconds: float | None = Field(description="Spent on the pixels, by the clock.")
    position: int | None = Field(description="In its workload, of those that wait; from 1.")
    competing: int | None = Field(description="Jobs of other workloads that could go before it.")
    obstacles: list[ObstacleAnswer]
    filtered_image_id: str | None
    notes: list[str] = Field(description="Codes for what the filtered image lacks on purpose.")
