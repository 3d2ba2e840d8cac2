"""From a request to a complete recipe: the defaults of adapters and pool filled in, the pool's limits kept."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, TypeVar

from PIL.Image import Image

from lorapool_api.kinds.models.controls import ControlKind, ControlSpec
from lorapool_api.kinds.serving import AdapterDefaults, PromptSyntax, Serving, ServingLimits
from lorapool_api.rules.defaults import NO_DEFAULTS
from lorapool_api.rules.limits import excess, scaled_side
from lorapool_api.rules.prompt_loras import split_prompt
from lorapool_api.rules.prompt_syntax.parts import PromptSyntaxError
from lorapool_api.rules.prompt_syntax.read import read_prompt
from lorapool_api.rules.usual import OF_SDXL, CompleteServing, UsualRequest, completed
from lorapool_api.wire.reply import ErrorCode
from lorapool_api.wire.request import AdapterUse, ControlUse, GenerateRequest, MaskReading
from lorapool_api.wire.weighting.scale import Weighting
from lorapool_runtime.app.pictures import NO_PICTURES, SentPictures
from lorapool_runtime.engine.contract import BaseInfo, Recipe
from lorapool_runtime.engine.passes import ControlPicture, Hires, Start
from lorapool_runtime.errors import RequestError

# As the first Stable Diffusion had it.
_IMAGE_STRENGTH: Final = 0.8
_CONTROL: Final = "controls.image"
_BESIDE: Final = "images_beside"
_IN_ALL_STEPS: Final = frozenset({ControlKind.IP_ADAPTER, ControlKind.T2I_ADAPTER})
T = TypeVar("T")


def complete(
    wanted: GenerateRequest,
    said: Serving,
    random_seed: int,
    of_stack: AdapterDefaults = NO_DEFAULTS,
    usual: UsualRequest = OF_SDXL,
    controls: Sequence[ControlSpec] = (),
    sent: SentPictures = NO_PICTURES,
) -> Recipe:
    """The recipe of a request: what it says, else what its adapters say, else the pool, else what suits the base.

    Args:
        controls: those that the pool has.
        sent: the request's pictures.

    Raises:
        RequestError: `InvalidRequest`, which names the value and the limit.
    """
    serving = completed(said, usual)
    defaults = serving.defaults
    width, height = _size(wanted, serving, usual.side_multiple, sent)
    recipe = Recipe(
        prompt=wanted.prompt,
        negative_prompt=_first(wanted.negative_prompt, of_stack.negative_prompt, ""),
        width=width,
        height=height,
        steps=_first(wanted.steps, of_stack.steps, defaults.steps),
        guidance_scale=_first(wanted.guidance_scale, of_stack.guidance_scale, defaults.guidance_scale),
        scheduler=wanted.scheduler or of_stack.scheduler or defaults.scheduler,
        seed=_or(wanted.seed, random_seed),
        images=wanted.images,
        prompt_syntax=wanted.prompt_syntax or serving.prompt_syntax,
        timestep_spacing=wanted.timestep_spacing or of_stack.timestep_spacing or defaults.timestep_spacing,
    )
    _check(wanted, recipe, serving)
    started = replace(
        recipe,
        start=_start(wanted, recipe, serving.limits, sent),
        controls=_controls(wanted, recipe, controls, serving.limits, sent),
        masks=_masks(wanted, recipe, sent),
    )
    return _in_two_passes(wanted, started, serving, usual.side_multiple)


def check_blocks(uses: Sequence[AdapterUse], base: BaseInfo) -> None:
    """Return where the base has the blocks that scales are said of. Raises: RequestError: `InvalidRequest`."""
    for use in uses:
        if not isinstance(use.scale, Weighting) or use.scale.blocks is None:
            continue
        if base.blocks is None:
            raise _invalid(f"blocks of adapter {use.key}: a scale cannot be said block by block with {base.family}")
        try:
            base.blocks.weights(use.scale.blocks)
        except ValueError as error:
            raise _invalid(f"blocks of adapter {use.key}: {error}") from error


def _controls(
    wanted: GenerateRequest, recipe: Recipe, known: Sequence[ControlSpec], limits: ServingLimits, sent: SentPictures
) -> tuple[ControlPicture, ...]:
    """The pictures that control the result. Names are checked first: pictures take their time."""
    kinds = {control.name: control.kind for control in known}
    for use in wanted.controls:
        if use.name not in kinds:
            has = f"it has {', '.join(kinds)}" if kinds else "it has none"
            raise _invalid(f"this pool has no control {use.name!r}: {has}")
        if use.start >= use.end:
            raise _invalid(f"control {use.name} ends at {use.end:g} of the steps, before it starts at {use.start:g}")
        if kinds[use.name] in _IN_ALL_STEPS and (use.start, use.end) != (0, 1):
            raise _invalid(
                f"control {use.name} is of the kind {kinds[use.name]}, which counts in all steps: no start, no end"
            )
    return tuple(_control(use, kinds[use.name], recipe, limits, sent) for use in wanted.controls)


def _control(
    use: ControlUse, kind: ControlKind, recipe: Recipe, limits: ServingLimits, sent: SentPictures
) -> ControlPicture:
    """A ControlNet's is laid over the result; an IP-Adapter looks at one of any size, at most as large as a result."""
    size = (recipe.width, recipe.height)
    if kind is ControlKind.IP_ADAPTER:
        size = sent.size_of(_CONTROL, use.image, limits.pixels, limits.side)
    image = sent.decode(_CONTROL, use.image, "RGB", size)
    return ControlPicture(use.name, image, use.scale, use.start, use.end)


def _masks(wanted: GenerateRequest, recipe: Recipe, sent: SentPictures) -> tuple[Image | None, ...]:
    """Where each adapter counts; () where all of them do everywhere."""
    said = [use.mask for use in wanted.adapters]
    if not any(mask is not None for mask in said):
        return ()
    size = (recipe.width, recipe.height)
    return tuple(None if mask is None else sent.decode("adapters.mask", mask, "L", size) for mask in said)


def _in_two_passes(wanted: GenerateRequest, recipe: Recipe, serving: Serving, multiple: int) -> Recipe:
    """Of the size that the second pass has, where there is one."""
    said = wanted.hires
    if said is None:
        return recipe
    if recipe.start is not None:
        raise _invalid("hires goes over a picture that is made of noise: leave image out")
    if recipe.controls or recipe.masks:
        raise _invalid("hires together with controls, or with masks of adapters, is not served")
    hires = Hires(recipe.width, recipe.height, said.upscaler, _or(said.steps, recipe.steps), said.strength)
    width, height = (scaled_side(side, said.scale, multiple) for side in (recipe.width, recipe.height))
    larger = replace(recipe, width=width, height=height, hires=hires)
    _check_limits(replace(larger, steps=hires.steps), serving)
    _check_strength(hires.strength, hires.steps)
    return larger


def _size(wanted: GenerateRequest, serving: CompleteServing, multiple: int, sent: SentPictures) -> tuple[int, int]:
    """What the request says, or its picture, or the pool."""
    width, height = serving.defaults.width, serving.defaults.height
    if wanted.image is not None:
        of_picture = sent.size_of("image", wanted.image, serving.limits.pixels, serving.limits.side)
        width, height = (max(multiple, side // multiple * multiple) for side in of_picture)
    return _or(wanted.width, width), _or(wanted.height, height)


def _start(wanted: GenerateRequest, recipe: Recipe, limits: ServingLimits, sent: SentPictures) -> Start | None:
    if wanted.image is None:
        if wanted.mask is not None or wanted.strength is not None or wanted.images_beside:
            raise _invalid(f"mask, strength and {_BESIDE} need an image to begin with")
        return None
    if wanted.mask is not None and wanted.images_beside:
        raise _invalid("a mask goes with one picture, not with several")
    size = (recipe.width, recipe.height)
    image = sent.decode("image", wanted.image, "RGB", size)
    if wanted.mask is None:
        beside = tuple(_beside(said, limits, sent) for said in wanted.images_beside)
        return Start(image, None, _strength(wanted, recipe, _IMAGE_STRENGTH), beside)
    holes = wanted.mask_reading is MaskReading.TRANSPARENCY
    mask = sent.decode("mask", wanted.mask, "L", size, holes=holes)
    return Start(image, mask, _strength(wanted, recipe, 1.0))


def _beside(said: str, limits: ServingLimits, sent: SentPictures) -> Image:
    """In its own size, at most as large as a result."""
    size = sent.size_of(_BESIDE, said, limits.pixels, limits.side)
    return sent.decode(_BESIDE, said, "RGB", size)


def _strength(wanted: GenerateRequest, recipe: Recipe, default: float) -> float:
    """Of a picture to begin with so many of the steps are done, rounded down; none would be no picture at all."""
    strength = _or(wanted.strength, default)
    _check_strength(strength, recipe.steps)
    return strength


def _check_strength(strength: float, steps: int) -> None:
    if int(steps * strength) < 1:
        raise _invalid(
            f"strength {strength:g} of {steps} steps leaves none to do: "
            f"ask for a strength of {1 / steps:.2g} or more, or for more steps"
        )


def _check(wanted: GenerateRequest, recipe: Recipe, serving: Serving) -> None:
    if not wanted.prompt.strip() and wanted.image is None:
        raise _invalid("prompt must not be empty")
    if split_prompt(wanted.prompt)[1]:
        raise _invalid("<lora:...> in a prompt is not served by a pod: name the adapter in adapters")
    for name, text in (("prompt", recipe.prompt), ("negative_prompt", recipe.negative_prompt)):
        _check_syntax(recipe.prompt_syntax, name, text)
    _check_limits(recipe, serving)


def _check_limits(recipe: Recipe, serving: Serving) -> None:
    found = excess(serving.limits, width=recipe.width, height=recipe.height, steps=recipe.steps, images=recipe.images)
    if found:
        raise _invalid(found.message)


def _check_syntax(syntax: PromptSyntax, name: str, text: str) -> None:
    """Before it waits: in the engine it would fail those in its batch too."""
    try:
        read_prompt(syntax, text)
    except PromptSyntaxError as error:
        raise _invalid(f"{name}: {error}") from error


def _first(said: T | None, of_stack: T | None, default: T) -> T:
    return _or(said, _or(of_stack, default))


def _or(value: T | None, default: T) -> T:
    return default if value is None else value


def _invalid(message: str) -> RequestError:
    return RequestError(ErrorCode.INVALID_REQUEST, message)
