"""What becomes of a request in the background, as server-sent events: as they come, the latest of each kind."""

import json
from collections.abc import AsyncIterator, Callable
from typing import Final

from lorapool_api.wire.reply import StepReport
from lorapool_gateway.http.background.replies import BackgroundStatus
from lorapool_gateway.http.streams import QUIET_S, event
from lorapool_gateway.kept.background import BackgroundRequest

MEDIA_TYPE: Final = "text/event-stream"


async def events_of(request: BackgroundRequest, status: Callable[[], BackgroundStatus]) -> AsyncIterator[bytes]:
    """`queued`, `started`, `step` and `preview`, and at its end `done`; a reader that is slow misses steps.

    Whoever comes late is told how far it is.
    """
    step: StepReport | None = None
    preview: StepReport | None = None
    is_started = False
    yield _said("queued", status())
    while True:
        seen = request.changes.version
        if request.started is not None and not is_started:
            is_started = True
            yield _said("started", status())
        if request.step is not None and request.step is not step:
            step = request.step
            yield event("step", json.dumps({"step": step.number, "steps": step.of}).encode())
        if request.preview is not None and request.preview is not preview:
            preview = request.preview
            shown = {"step": preview.number, "steps": preview.of, "b64_json": preview.preview, "output_format": "jpeg"}
            yield event("preview", json.dumps(shown).encode())
        if request.state.is_over:
            yield _said("done", status())
            return
        await request.changes.beyond(seen, QUIET_S)
        if request.changes.version == seen:
            yield b": waiting\n\n"


def _said(name: str, status: BackgroundStatus) -> bytes:
    return event(name, status.model_dump_json().encode())
