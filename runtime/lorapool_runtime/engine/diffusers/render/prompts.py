"""Encoded prompts, kept: the same prompt with the same text encoders is encoded once."""

import inspect
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial
from typing import Any, Final

import torch
from cachetools import LRUCache
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline
from transformers import T5EncoderModel

from lorapool_api.kinds.serving import PromptSyntax
from lorapool_runtime.adapters.file import ScaledAdapter
from lorapool_runtime.engine.contract import Recipe
from lorapool_runtime.engine.diffusers.layers.switchboard import DeviceAdapter, Stack
from lorapool_runtime.engine.diffusers.render import long_prompts, weighted_prompts

# Chunks of 77 tokens, of SDXL's some 0.6 MB each in half precision.
_KEPT: Final = 64

Encoded = Mapping[str, Any]
EncodeTexts = Callable[[Sequence[str]], Sequence[Mapping[str, torch.Tensor]]]


def text_key(stack: Stack, *, merge: bool) -> Hashable:
    """What decides about the text encoders: the adapters that change them or bring tokens, and how they are applied."""
    return tuple(
        (scaled.adapter.identity, _text_strength(scaled), merge)
        for scaled in stack
        if scaled.adapter.embeddings or any(delta.target.is_text for delta in scaled.adapter.deltas)
    )


def _text_strength(scaled: ScaledAdapter[DeviceAdapter]) -> float:
    """How strongly the adapter counts in the text encoders; 1 where it brings tokens alone."""
    target = next((delta.target for delta in scaled.adapter.deltas if delta.target.is_text), None)
    return 1.0 if target is None else target.strength(scaled.scale)


def same_texts(stacks: Sequence[Stack]) -> Mapping[Hashable, Sequence[int]]:
    """Which of these, added and not merged, have the same text encoders: their indices by `text_key`."""
    found: dict[Hashable, list[int]] = {}
    for i, stack in enumerate(stacks):
        found.setdefault(text_key(stack, merge=False), []).append(i)
    return found


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


def are_alike(several: Sequence[Encoded]) -> bool:
    """Whether these can be put together: prompts of as many chunks."""
    first = _shapes(several[0])
    return all(_shapes(each) == first for each in several)


def _shapes(encoded: Encoded) -> dict[str, Any]:
    return {name: tuple(v.shape) if isinstance(v, torch.Tensor) else None for name, v in encoded.items()}


def _is_guided(recipe: Recipe) -> bool:
    return recipe.guidance_scale > 1


def _texts(recipe: Recipe) -> list[str]:
    """What of the prompts is read."""
    return [recipe.prompt, recipe.negative_prompt] if _is_guided(recipe) else [recipe.prompt]


def _key(recipe: Recipe, text: Hashable) -> Hashable:
    return text, recipe.prompt, recipe.negative_prompt, recipe.prompt_syntax, _is_guided(recipe)


def _named(names: Sequence[str], made: Sequence[torch.Tensor | None]) -> Encoded:
    return {name: e for name, e in zip(names, made, strict=False) if e is not None}


class Prompts:
    """An LRU cache of encoded prompts. For the engine's thread. The adapters must be active when it encodes."""

    def __init__(self, pipeline: Any) -> None:
        self._pipeline = pipeline
        self._kept: LRUCache[Hashable, tuple[Encoded, int]] = LRUCache(_KEPT, getsizeof=lambda kept: kept[1])

    @property
    def are_apart(self) -> bool:
        """Whether prompts are encoded before the run, and not by the pipeline in it."""
        return type(self._pipeline) in _NAMES

    def encoded(self, recipe: Recipe, text: Hashable) -> Encoded:
        """The pipeline's arguments that say what the prompts say, as embeddings where the pipeline takes them so."""
        names = _NAMES.get(type(self._pipeline))
        if names is None:
            return {"prompt": recipe.prompt, "negative_prompt": recipe.negative_prompt or None}
        key = _key(recipe, text)
        if key not in self._kept:
            self._kept[key] = self._encode(recipe, names, guided=_is_guided(recipe))
        return self._kept[key][0]

    def forget(self) -> None:
        """All of them: they take memory of the device."""
        self._kept.clear()

    def all_encoded(self, recipes: Sequence[Recipe], text: Hashable) -> list[Encoded]:
        """The same of several, whose prompts go through each text encoder together, those that are not known yet.

        Prompts with weights and those of several chunks go alone; so do those of one request, bit for bit as diffusers
        encodes them. Together they may round differently.
        """
        new = {key: recipe for recipe in recipes if (key := _key(recipe, text)) not in self._kept}
        plain = {key: recipe for key, recipe in new.items() if self._is_plain(recipe)}
        if self.are_apart and len(plain) > 1:
            self._encode_together(plain)
        return [self.encoded(recipe, text) for recipe in recipes]

    def _is_plain(self, recipe: Recipe) -> bool:
        is_one = self.are_apart and long_prompts.chunks_of(self._pipeline, _texts(recipe)) == 1
        return is_one and recipe.prompt_syntax is PromptSyntax.PLAIN

    def _encode_together(self, recipes: Mapping[Hashable, Recipe]) -> None:
        """All their texts, each once, in one call of each text encoder."""
        names = _NAMES[type(self._pipeline)]
        texts = list(dict.fromkeys(text for recipe in recipes.values() for text in _texts(recipe)))
        rows = dict(zip(texts, self._rows(texts), strict=True))
        for key, recipe in recipes.items():
            made = self._apart(recipe, lambda said: [rows[text] for text in said], guided=_is_guided(recipe))
            self._kept[key] = _named(names, made), 1

    @torch.inference_mode()
    def _rows(self, texts: Sequence[str]) -> list[Mapping[str, torch.Tensor]]:
        """Of each text what `encode_prompt` makes of it, as a prompt or as a negative one."""
        made = self._pipeline.encode_prompt(
            prompt=list(texts),
            device=self._pipeline._execution_device,
            num_images_per_prompt=1,
            do_classifier_free_guidance=False,
        )
        parts = {"embeds": made[0], "pooled": made[2]} if len(made) > 2 else {"embeds": made[0]}
        return [{name: part[i : i + 1] for name, part in parts.items()} for i in range(len(texts))]

    def warnings(self, recipe: Recipe) -> tuple[str, ...]:
        """What of the prompts the base cannot read: it has no effect."""
        said = {"prompt": recipe.prompt, "negative prompt": recipe.negative_prompt if recipe.guidance_scale > 1 else ""}
        limits = self._limits()
        found = []
        if recipe.prompt_syntax is not PromptSyntax.PLAIN:
            return self._unread(recipe.prompt_syntax, said)
        for name, text in said.items():
            cut = [(room, rest) for part, room in limits if (rest := long_prompts.cut_off(part, text, room))]
            if cut and len(cut) == len(limits):
                room, rest = max(cut)
                found.append(f"the {name} is longer than the {room} tokens that this base reads; cut off: {rest!r}")
        return tuple(found)

    def _unread(self, syntax: PromptSyntax, said: Mapping[str, str]) -> tuple[str, ...]:
        """What of prompts with weights has no effect."""
        if not self.are_apart:
            return (f"prompt syntax {syntax} does not work with this base model; prompts were read as plain",)
        counts = {name: weighted_prompts.chunks(self._pipeline, text, syntax) for name, text in said.items() if text}
        most = long_prompts.MAX_CHUNKS
        return tuple(
            f"the {n} takes {c} chunks of tokens; this base reads {most}" for n, c in counts.items() if c > most
        )

    def _limits(self) -> list[tuple[Any, int]]:
        """The tokenizers that a prompt goes through, and how many tokens of it their encoders get."""
        if type(self._pipeline) in _NAMES:
            return [
                (text.tokenizer, text.room * long_prompts.MAX_CHUNKS) for text in long_prompts.texts_of(self._pipeline)
            ]
        for encoder, tokenizer in (("text_encoder_3", "tokenizer_3"), ("text_encoder_2", "tokenizer_2")):
            part = getattr(self._pipeline, tokenizer, None)
            if part is not None and isinstance(getattr(self._pipeline, encoder, None), T5EncoderModel):
                longest = inspect.signature(self._pipeline.__call__).parameters.get("max_sequence_length")
                return [(part, longest.default - 1)] if longest is not None else []
        return [(text.tokenizer, text.room) for text in long_prompts.texts_of(self._pipeline)]

    def _encode(self, recipe: Recipe, names: tuple[str, ...], *, guided: bool) -> tuple[Encoded, int]:
        """The embeddings, and of how many chunks they are."""
        texts = _texts(recipe)
        chunks = long_prompts.chunks_of(self._pipeline, texts)
        if recipe.prompt_syntax is not PromptSyntax.PLAIN:
            weighted = partial(weighted_prompts.encode, self._pipeline, syntax=recipe.prompt_syntax)
            made = self._apart(recipe, weighted, guided=guided)
            chunks = max(weighted_prompts.chunks(self._pipeline, text, recipe.prompt_syntax) for text in texts)
        elif chunks > 1:
            made = self._apart(recipe, partial(long_prompts.encode_each, self._pipeline, count=chunks), guided=guided)
        else:
            made = self._in_one(recipe, guided=guided)
        return _named(names, made), chunks

    @torch.inference_mode()
    def _in_one(self, recipe: Recipe, *, guided: bool) -> Sequence[torch.Tensor | None]:
        made: Sequence[torch.Tensor | None] = self._pipeline.encode_prompt(
            prompt=recipe.prompt,
            negative_prompt=recipe.negative_prompt or None,
            device=self._pipeline._execution_device,
            num_images_per_prompt=1,
            do_classifier_free_guidance=guided,
        )
        return made

    @torch.inference_mode()
    def _apart(self, recipe: Recipe, encode: EncodeTexts, *, guided: bool) -> Sequence[torch.Tensor | None]:
        """As `encode_prompt` returns them: embeddings of prompt and negative prompt, then pooled ones."""
        zeros = not recipe.negative_prompt and getattr(self._pipeline.config, "force_zeros_for_empty_prompt", False)
        said = [recipe.prompt, recipe.negative_prompt] if guided and not zeros else [recipe.prompt]
        wanted, *others = encode(said)
        if not guided:
            return wanted["embeds"], None, wanted.get("pooled"), None
        unwanted = others[0] if others else {name: torch.zeros_like(e) for name, e in wanted.items()}
        return wanted["embeds"], unwanted["embeds"], wanted.get("pooled"), unwanted.get("pooled")


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
