"""The scale of an adapter as requests write it, in an item of `loras` or in a tag of a prompt: pure."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from pydantic import ValidationError

from lorapool_api.wire.weighting.blocks import LENGTHS, PRESETS
from lorapool_api.wire.weighting.scale import MAX_CHANGES, MAX_SCALE, Weighting, plain
from lorapool_gateway.errors import BadRequest
from lorapool_gateway.http.fields.fields import sentence, short

SCALES: Final = ("scale", "weight")
TEXT_SCALES: Final = ("text_encoder_scale", "textEncoderScale")
BLOCKS: Final = "blocks"
# `name@sha256:...` has a colon of its own.
_TAG: Final = re.compile(r"((?:[^:]*@sha256:)?[^:]*)(?::(.*))?", re.DOTALL)
_MOST_PARTS: Final = 8
_STEPS: Final = ("start", "stop", "step")
# A1111's own, and those of sd-webui-lora-block-weight.
_NAMED: Final = ("te", "unet", "lbw", *_STEPS)

AnyScale = float | Weighting | None


def one_of(item: Mapping[str, Any], keys: tuple[str, str]) -> Any:
    """What the item says under one of these names. Raises: BadRequest: under both."""
    given = [item[key] for key in keys if item.get(key) is not None]
    if len(given) > 1:
        raise BadRequest(f"an item of loras must have exactly one of {keys[0]} and {keys[1]}", param="loras")
    return given[0] if given else None


def scale_of_item(item: Mapping[str, Any]) -> AnyScale:
    """What an item of `loras` says of it; None: nothing. Raises: BadRequest."""
    said, text, blocks = one_of(item, SCALES), one_of(item, TEXT_SCALES), item.get(BLOCKS)
    if not isinstance(said, list) and text is None and blocks is None:
        return None if said is None else number(said)
    steps = _steps(said) if isinstance(said, list) else () if said is None else ((0.0, number(said)),)
    return _made(steps, None if text is None else number(text), _blocks(blocks))


def scale_of_tag(tag: str, steps: int | None = None) -> tuple[str, AnyScale]:
    """The name in a tag, and its scale: `a:0.8`, `a:te:unet` by position or as `te=` and `unet=`, with `lbw=` and
    `start=`, `stop=` or `step=FROM-TO`.

    Args:
        steps: that the request asks for; None: it leaves them to others.

    Raises:
        BadRequest
    """
    found = _TAG.fullmatch(tag)
    name, rest = (found[1], found[2]) if found else (tag, None)
    if rest is None:
        return name, None
    parts = [part.strip() for part in rest.split(":", _MOST_PARTS)]
    named = dict(part.split("=", 1) for part in parts if "=" in part)
    unknown = [key for key in named if key not in _NAMED]
    placed = [part for part in parts if "=" not in part]
    if unknown or len(named) + len(placed) < len(parts) or len(placed) > 3:
        way = f"a name, a scale, and {', '.join(f'{key}=' for key in _NAMED)}"
        raise BadRequest(f"<lora:{short(tag)}>: a tag has {way}", param="prompt")
    # The older way to say blocks: behind the scale, without a name.
    blocks = named.get("lbw", placed.pop() if len(placed) > 1 and not _is_number(placed[-1]) else None)
    text, denoiser = _of_parts(placed, named)
    if denoiser is None and not set(_STEPS) & named.keys():
        return name, None if blocks is None else _made((), None, _blocks_in_text(blocks))
    strength = 1.0 if denoiser is None else denoiser
    changes = _between(named, strength, steps, tag)
    return name, _made(changes, strength if text is None else text, _blocks_in_text(blocks))


def number(value: Any) -> float:
    """Raises: BadRequest for what is no number, or more than a scale may be."""
    try:
        scale = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        scale = math.nan
    if not -MAX_SCALE <= scale <= MAX_SCALE:  # not a number compares as neither
        limits = f"{-MAX_SCALE:g} to {MAX_SCALE:g}"
        raise BadRequest(f"the scale of an adapter must be {limits}, not {short(str(value))!r}", param="loras")
    return scale


def _of_parts(placed: Sequence[str], named: Mapping[str, str]) -> tuple[float | None, float | None]:
    """The scales in text encoders and denoiser, as A1111 reads them: who says one of them says the other too, unless
    it is `unet=` alone."""
    if not placed and not named.keys() & {"te", "unet"}:
        return None, None
    first = number(placed[0]) if placed else 1.0
    text = number(named["te"]) if "te" in named else first
    denoiser = number(placed[1]) if len(placed) > 1 else text
    return text, number(named["unet"]) if "unet" in named else denoiser


def _between(named: Mapping[str, str], strength: float, steps: int | None, tag: str) -> tuple[tuple[float, float], ...]:
    """The scales by step, where a tag says from which step on, and up to which, it counts."""
    first, dash, last = named.get("step", "").partition("-")
    begin, end = named.get("start", first), named.get("stop", last if dash else "")
    if not begin and not end and "step" not in named:
        return ((0.0, strength),)
    try:
        start, stop = int(begin or 0), int(end) if end else None
    except ValueError:
        start, stop = -1, None
    if steps is None or steps < 1 or not 0 <= start < (steps if stop is None else min(stop, steps)):
        why = f"steps from 0 to those of the request ({'it says none' if steps is None else steps})"
        raise BadRequest(f"<lora:{short(tag)}>: start, stop and step=FROM-TO count {why}", param="prompt")
    before = ((0.0, 0.0),) if start else ()
    after = ((stop / steps, 0.0),) if stop is not None and stop < steps else ()
    return (*before, (start / steps, strength), *after)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _steps(said: list[Any]) -> tuple[tuple[Any, Any], ...]:
    """Whatever stands in them, no more than there may be."""
    way = f"1 to {MAX_CHANGES} pairs [start, scale]: from which share of the steps on which scale counts"
    if not 1 <= len(said) <= MAX_CHANGES or any(not isinstance(pair, list) or len(pair) != 2 for pair in said):
        raise BadRequest(f"a scale by step is a list of {way}", param="loras")
    return tuple((start, number(scale)) for start, scale in said)


def _blocks(said: Any) -> str | tuple[float, ...] | None:
    if said is None or isinstance(said, str):
        return said
    if not isinstance(said, list) or len(said) not in LENGTHS:
        raise _not_blocks()
    return tuple(number(weight) for weight in said)


def _blocks_in_text(said: str | None) -> str | tuple[float, ...] | None:
    return _blocks(said.split(",")) if said is not None and "," in said else said


def _not_blocks() -> BadRequest:
    lengths = ", ".join(map(str, sorted(LENGTHS)))
    return BadRequest(f"blocks are a preset ({', '.join(PRESETS)}) or a list of {lengths} weights", param="loras")


def _made(
    steps: tuple[tuple[Any, Any], ...], text: float | None, blocks: str | tuple[float, ...] | None
) -> float | Weighting:
    """Raises: BadRequest."""
    if isinstance(blocks, str) and blocks not in PRESETS:
        raise _not_blocks()
    try:
        return plain(Weighting(steps=steps, text_encoder=text, blocks=blocks))
    except ValidationError as error:
        raise sentence(error, "loras") from None
