"""What is said of a request in the background."""

from typing import Literal

from pydantic import BaseModel, Field

from lorapool_gateway.kept.background import BackgroundRequest, BackgroundState


class BackgroundStatus(BaseModel):
    """How far it is."""

    id: str
    object: Literal["job"] = "job"
    status: BackgroundState
    url: str = Field(description="The path that it is for.")
    custom_id: str | None = Field(description="Its client's own name for it.")
    pool: str | None = Field(description="Known when its names are.")
    place: int | None = Field(
        description="Which it is, from 1, of the requests in the background of its pool of which this gateway knows no "
        "step; other requests may come between."
    )
    step: int | None = Field(description="The last step that is done, from 1, over all images.")
    steps: int | None
    created_at: int = Field(description="Seconds since 1970.")
    started_at: int | None = Field(description="When its first step was done.")
    finished_at: int | None
    expires_at: int | None = Field(description="When its answer is dropped, at the latest.")
    status_code: int | None = Field(description="Of its answer.")


def status_of(request: BackgroundRequest, place: int | None, keep_s: float) -> BackgroundStatus:
    """What is said of it."""
    step, finished = request.step, request.finished
    return BackgroundStatus(
        id=request.id,
        status=request.state,
        url=request.url,
        custom_id=request.custom_id,
        pool=request.pool,
        place=place,
        step=step.number if step else None,
        steps=step.of if step else None,
        created_at=int(request.created),
        started_at=None if request.started is None else int(request.started),
        finished_at=None if finished is None else int(finished),
        expires_at=None if finished is None else int(finished + keep_s),
        status_code=request.status,
    )
