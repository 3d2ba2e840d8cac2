"""Pictures that control a result, as requests of any dialect name them: pure."""

from typing import Any

from pydantic import ValidationError

from lorapool_api.wire.request import MAX_CONTROLS, ControlUse
from lorapool_gateway.errors import BadRequest
from lorapool_gateway.http.fields import pictures
from lorapool_gateway.http.fields.fields import sentence


def controls(value: Any) -> tuple[ControlUse, ...]:
    """A list of `{"name", "image", "scale", "start", "end"}`. Raises: BadRequest."""
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) > MAX_CONTROLS or not all(isinstance(item, dict) for item in value):
        raise BadRequest(f"controls must be a list of at most {MAX_CONTROLS} objects", param="controls")
    return tuple(_control(item) for item in value)


def _control(item: dict[str, Any]) -> ControlUse:
    unknown = item.keys() - ControlUse.model_fields.keys()
    if unknown:
        raise BadRequest(f"a control has no field {min(unknown)[:80]!r}", param="controls")
    try:
        return ControlUse.model_validate({**item, "image": pictures.must_be_in("controls.image", item.get("image"))})
    except ValidationError as error:
        raise sentence(error, "controls") from None
