"""What the pages of the API say of fields that are read by hand."""

from typing import Annotated, Any, Final

from pydantic import WithJsonSchema

from lorapool_api.wire.request import MAX_CONTROLS

_NAME: Final = {"type": "string", "description": "An object's name, namespace/name, a model id or an alias."}
_PICTURE: Final = {"type": "string", "description": "PNG, JPEG or WebP in base64, also as a data: address."}
_LORA: Final = {
    "type": "object",
    "properties": {
        "name": _NAME,
        "path": {**_NAME, "description": "The same as name; one of the two."},
        "scale": {"description": "How strongly it counts; without it the adapter's own."},
        "weight": {"description": "The same as scale; one of the two."},
        "mask": {**_PICTURE, "description": "The adapter counts where it is white."},
    },
}
_IN_TEXT: Final = {"type": "string", "description": "`a`, `a:0.8, b:0.5` or `<lora:a:0.8>`; empty: the bare base."}
_LORAS: Final = {
    "anyOf": [_IN_TEXT, {"type": "array", "items": {"anyOf": [_IN_TEXT, _LORA]}}, {"type": "null"}],
    "description": "The adapters; an empty list is the bare base.",
}
_CONTROLS: Final = {
    "anyOf": [
        {
            "type": "array",
            "maxItems": MAX_CONTROLS,
            "items": {
                "type": "object",
                "required": ["name", "image"],
                "properties": {
                    "name": {"type": "string", "description": "Of the pool's `model.controls`."},
                    "image": _PICTURE,
                    "scale": {"type": "number", "minimum": 0, "maximum": 2},
                    "start": {"type": "number", "minimum": 0, "exclusiveMaximum": 1},
                    "end": {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
                },
                "additionalProperties": False,
            },
        },
        {"type": "null"},
    ],
    "description": "Pictures that control the result.",
}
_WITH_ADDRESS: Final = {"type": "object", "required": ["image_url"], "properties": {"image_url": _PICTURE}}
_ONE: Final = {"anyOf": [_PICTURE, _WITH_ADDRESS]}

Loras = Annotated[Any, WithJsonSchema(_LORAS)]
Controls = Annotated[Any, WithJsonSchema(_CONTROLS)]
Picture = Annotated[Any, WithJsonSchema({"anyOf": [_PICTURE, {"type": "null"}]})]
Pictures = Annotated[Any, WithJsonSchema({"anyOf": [_ONE, {"type": "array", "items": _ONE}, {"type": "null"}]})]
ModelName = Annotated[Any, WithJsonSchema({"anyOf": [_NAME, {"type": "null"}]})]
