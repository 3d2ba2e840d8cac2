"""What the text encoders make of a prompt, kept: the same prompt with the same text encoders is encoded once."""

from collections import OrderedDict
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Final

import torch
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline

from lorapool_runtime.engine.contract import Recipe
from lorapool_runtime.engine.diffusers.plans import Stack

# Of SDXL's some 0.6 MB each in half precision.
_KEPT: Final = 64

Encoded = Mapping[str, Any]


def text_key(stack: Stack, *, merge: bool) -> Hashable:
    """What decides about the text encoders: the adapters that change them or bring words, and how they are applied."""
    return tuple(
        (loaded.identity, scale, merge)
        for loaded, scale in stack
        if loaded.words or any(change.place.is_text for change in loaded.changes)
    )


def together(several: Sequence[Encoded]) -> Encoded:
    """The pipeline's arguments for a batch, from those of each picture."""
    first, *rest = several
    if not rest:
        return first
    return {name: _batch([each[name] for each in several]) for name in first}


def _batch(values: Sequence[Any]) -> Any:
    if isinstance(values[0], torch.Tensor):
        return torch.cat(list(values))
    # The pipeline takes a list of words, all of them, or nothing at all.
    return None if all(v is None for v in values) else [v or "" for v in values]


class Prompts:
    """A bounded memory, for the engine's thread. The adapters must be in force when it encodes."""

    def __init__(self, pipeline: Any) -> None:
        self._pipeline = pipeline
        self._kept: OrderedDict[Hashable, Encoded] = OrderedDict()

    @property
    def are_apart(self) -> bool:
        """Whether prompts are encoded before the run, and not by the pipeline in it."""
        return type(self._pipeline) in _NAMES

    def encoded(self, recipe: Recipe, text: Hashable) -> Encoded:
        """The pipeline's arguments that say what the prompts say, as embeddings where the pipeline takes them so."""
        names = _NAMES.get(type(self._pipeline))
        if names is None:
            return {"prompt": recipe.prompt, "negative_prompt": recipe.negative_prompt or None}
        guided = recipe.guidance_scale > 1
        key = (text, recipe.prompt, recipe.negative_prompt, guided)
        found = self._kept.get(key)
        if found is None:
            found = self._kept[key] = self._encode(recipe, names, guided=guided)
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return found

    @torch.inference_mode()
    def _encode(self, recipe: Recipe, names: tuple[str, ...], *, guided: bool) -> Encoded:
        made = self._pipeline.encode_prompt(
            prompt=recipe.prompt,
            negative_prompt=recipe.negative_prompt or None,
            device=self._pipeline._execution_device,
            num_images_per_prompt=1,
            do_classifier_free_guidance=guided,
        )
        return {name: embedding for name, embedding in zip(names, made, strict=True) if embedding is not None}


# What `encode_prompt` of these classes returns, in its order, and what their `__call__` calls it.
_NAMES: Final[dict[type, tuple[str, ...]]] = {
    StableDiffusionPipeline: ("prompt_embeds", "negative_prompt_embeds"),
    StableDiffusionXLPipeline: (
        "prompt_embeds",
        "negative_prompt_embeds",
        "pooled_prompt_embeds",
        "negative_pooled_prompt_embeds",
    ),
}
