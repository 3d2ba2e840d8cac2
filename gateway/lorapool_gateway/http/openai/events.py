"""What OpenAI's client reads while images are made (`stream: true`): pure."""

import json
from typing import Any, Final

from lorapool_api.wire.reply import StepReport
from lorapool_gateway.errors import GatewayError
from lorapool_gateway.http import errors
from lorapool_gateway.http.fields.json_images import JsonWithImages
from lorapool_gateway.http.openai.dialect import OpenAIRequest, usage
from lorapool_gateway.http.streams import event, event_with_images
from lorapool_gateway.serve.proxy import ServedReply

GENERATION: Final = "image_generation"
EDIT: Final = "image_edit"
# Fields that the client's types have; nothing here depends on them.
_PLAIN: Final = {"quality": "auto", "background": "opaque"}


class OpenAIEvents:
    """The events of one request.

    Attributes:
        asked, served: set when they are known.
    """

    def __init__(self, kind: str, created: int) -> None:
        """`kind` is `image_generation` or `image_edit`."""
        self._kind = kind
        self.asked: OpenAIRequest | None = None
        self.served: ServedReply | None = None
        self._created = created
        self._shown = 0

    @property
    def are_wanted(self) -> bool:
        """Whether the request says `stream: true`."""
        return self.asked is not None and self.asked.stream

    def step(self, step: StepReport) -> bytes | None:
        """A partial image; steps that show nothing are no events of OpenAI's."""
        if step.preview is None or self.asked is None:
            return None
        generate = self.asked.generate
        size = f"{generate.width}x{generate.height}" if generate.width and generate.height else "auto"
        said = {"b64_json": step.preview, "partial_image_index": self._shown, "size": size, "output_format": "jpeg"}
        self._shown += 1
        name = f"{self._kind}.partial_image"
        return event(name, json.dumps(self._about(name) | said).encode())

    def done(self) -> tuple[JsonWithImages, ...]:
        """One event for each image, all with what the request took."""
        if self.served is None:
            return ()
        reply, name = self.served.reply, f"{self._kind}.completed"
        made = []
        for number, (one, image) in enumerate(zip(reply.images, self.served.images, strict=True)):
            said = {
                "size": f"{reply.width}x{reply.height}",
                "output_format": reply.format.value,
                "seed": one.seed,
                "image_index": number,
                "usage": usage(reply),
            }
            text = json.dumps(self._about(name) | said)
            made.append(event_with_images(name, JsonWithImages((f'{text[:-1]}, "b64_json": "'.encode(), image, b'"}'))))
        return tuple(made)

    def failed(self, error: GatewayError | None) -> bytes:
        """An error that came after the first event."""
        said = errors.openai_body(error) if error else errors.openai_defect()
        return event("error", json.dumps({"type": "error", **said}).encode())

    def _about(self, name: str) -> dict[str, Any]:
        return {"type": name, "created_at": self._created, **_PLAIN}
