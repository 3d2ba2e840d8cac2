"""What the pages of the API say of fields that are read by hand."""

from typing import Annotated, Any, Final

from pydantic import WithJsonSchema

from lorapool_api.wire.request import MAX_CONTROLS
from lorapool_api.wire.weighting.blocks import LENGTHS, PRESETS
from lorapool_api.wire.weighting.scale import MAX_CHANGES, MAX_SCALE

_NAME: Final = {"type": "string", "description": "An object's name, namespace/name, a model id or an alias."}
_PICTURE: Final = {"type": "string", "description": "PNG, JPEG or WebP in base64, also as a data: address."}
_SCALE: Final = {"type": "number", "minimum": -MAX_SCALE, "maximum": MAX_SCALE}
_PAIR: Final = {
    "type": "array",
    "prefixItems": [{"type": "number", "minimum": 0, "exclusiveMaximum": 1}, _SCALE],
    "minItems": 2,
    "maxItems": 2,
}
_LENGTHS: Final = ", ".join(map(str, sorted(LENGTHS)))
_LORA: Final = {
    "type": "object",
    "properties": {
        "name": _NAME,
        "path": {**_NAME, "description": "The same as name; one of the two."},
        "scale": {
            "anyOf": [
                _SCALE,
                {"type": "array", "minItems": 1, "maxItems": MAX_CHANGES, "items": _PAIR},
                {"type": "null"},
            ],
            "description": "How strongly it counts, or [start, scale] by step; without it the adapter's own.",
        },
        "weight": {"description": "The same as scale; one of the two."},
        "text_encoder_scale": {
            "anyOf": [_SCALE, {"type": "null"}],
            "description": "The same in the text encoders; without it that of the first step.",
        },
        "textEncoderScale": {"description": "The same as text_encoder_scale; one of the two."},
        "blocks": {
            "anyOf": [
                {"type": "string", "enum": list(PRESETS)},
                {"type": "array", "maxItems": max(LENGTHS), "items": _SCALE},
                {"type": "null"},
            ],
            "description": f"What the scale counts in each block of a UNet: a preset, or {_LENGTHS} weights.",
        },
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
