"""How a request names adapters: in its body, by the header `lora`, in its prompt. What looks like a name and is none of
these is refused, for the image would be that of the bare base: pure.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from lorapool_api.rules.prompt_loras import split_prompt
from lorapool_gateway.errors import BadRequest
from lorapool_gateway.http.fields import pictures
from lorapool_gateway.http.fields.fields import MAX_WARNINGS, model_name, short
from lorapool_gateway.http.fields.scales import (
    BLOCKS,
    SCALES,
    TEXT_SCALES,
    number,
    one_of,
    scale_of_item,
    scale_of_tag,
)
from lorapool_gateway.routing.request import NamedAdapter

HEADERS: Final = ("lora", "loras")
_NAMES, _MASK = ("name", "path"), "mask"
_PIN: Final = "@sha256:"
# Fields of other services: lora_weights, adapter_id, image_loras, ...; and diffusers' way to set the scale.
_LOOKS_LIKE_A_NAME: Final = re.compile(r"lora|lyco|adapter|attention_kwargs", re.IGNORECASE)


def chosen(said: Mapping[str, Any], header: str) -> tuple[tuple[NamedAdapter, ...], tuple[str, ...]]:
    """The adapters of a request and a warning where the header was set aside.

    Args:
        said: what each field of the body says, by its name; None where it says nothing. It goes before the header,
            which a client may have fixed for all of its requests. An empty list is the bare base.
        header: all headers of that name.

    Raises:
        BadRequest
    """
    present = {field: value for field, value in said.items() if value is not None}
    if len(present) > 1:
        raise BadRequest(f"{' and '.join(present)} are both set: use one", param="loras")
    in_header = loras_in_text(header)
    if not present:
        return in_header, ()
    in_body = loras_in_json(next(iter(present.values())))
    is_set_aside = bool(in_header) and in_header != in_body
    return in_body, ("the header lora was set aside: the body names adapters",) if is_set_aside else ()


def taken_from(prompt: str, steps: int | None = None) -> tuple[str, tuple[NamedAdapter, ...]]:
    """The prompt without `<lora:name:0.8>`, and the adapters that it named so. Raises: BadRequest.

    Args:
        steps: that the request asks for, which tags may count; None: it leaves them to others.
    """
    rest, tags = split_prompt(prompt)
    return rest, tuple(_lora_in_tag(tag, steps) for tag in tags)


def untagged(negative_prompt: str | None) -> str | None:
    """A negative prompt, in which no adapter can be named. Raises: BadRequest."""
    if negative_prompt is None:
        return None
    words, tags = split_prompt(negative_prompt)
    if tags:
        raise BadRequest("an adapter cannot be named in the negative prompt", param="negative_prompt")
    return words


def loras_in_text(text: str) -> tuple[NamedAdapter, ...]:
    """Adapters as a header names them: `a`, or with scales `a:0.8, b:0.5`; empty: the bare base. Raises: BadRequest."""
    if not text:
        return ()
    rest, tags = split_prompt(text)
    words = (word.strip() for word in rest.split(","))
    return (*(_lora_in_word(word) for word in words if word), *(_lora_in_tag(tag) for tag in tags))


def loras_in_json(value: Any) -> tuple[NamedAdapter, ...]:
    """Adapters as JSON: a string as in the header, or a list of strings and `{"name" | "path", "scale" | "weight",
    "text_encoder_scale", "blocks", "mask"}`.

    Raises:
        BadRequest
    """
    if isinstance(value, str):
        return loras_in_text(value)
    if not isinstance(value, list):
        raise BadRequest("loras must be a list of names or of objects with name and scale", param="loras")
    return tuple(lora for item in value for lora in _loras_in_item(item))


def unused(fields: Mapping[str, Any]) -> tuple[str, ...]:
    """Warnings about fields that have no effect here. Raises: BadRequest, for one that seems to name an adapter."""
    if not fields:
        return ()
    _refuse_other_names(fields)
    return tuple(f"{short(name)!r} has no effect here" for name in fields)[:MAX_WARNINGS]


def _refuse_other_names(fields: Mapping[str, Any]) -> None:
    for name, value in fields.items():
        if not value:
            continue
        if _LOOKS_LIKE_A_NAME.search(name):
            way = 'loras, a list of {"name": ..., "scale": ...}'
            raise BadRequest(f"adapters are named by {way}, not by {short(name)!r}", param=short(name))
        if isinstance(value, Mapping):
            _refuse_other_names(value)


def _loras_in_item(item: Any) -> Iterable[NamedAdapter]:
    if isinstance(item, str):
        return loras_in_text(item)
    if not isinstance(item, Mapping):
        raise BadRequest(f"an item of loras must be a name or an object, not {short(repr(item))}", param="loras")
    unknown = [key for key in item if key not in (*_NAMES, *SCALES, *TEXT_SCALES, BLOCKS, _MASK)]
    if unknown:
        known = "name (or path), scale (or weight), text_encoder_scale, blocks and mask"
        raise BadRequest(f"an item of loras has {known}; {short(unknown[0])!r} means nothing here", param="loras")
    name = one_of(item, _NAMES)
    if name is None:
        raise BadRequest("an item of loras must have exactly one of name and path", param="loras")
    mask = item.get(_MASK)
    where = None if mask is None else pictures.must_be_in("loras.mask", mask)
    return (NamedAdapter(_name(name), scale_of_item(item), where),)


def _lora_in_tag(tag: str, steps: int | None = None) -> NamedAdapter:
    name, scale = scale_of_tag(tag, steps)
    return NamedAdapter(_name(name), scale)


def _lora_in_word(word: str) -> NamedAdapter:
    name, colon, scale = word.rpartition(":")
    # `name@sha256:...` has a colon of its own.
    has_scale = bool(colon) and not f"{name}:".endswith(_PIN)
    return NamedAdapter(_name(name), number(scale)) if has_scale else NamedAdapter(_name(word))


def _name(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise BadRequest("the name of an adapter must be a text that is not empty", param="loras")
    return model_name(value.strip())
