"""A denoiser that attends to pictures, for one run; before and after it is the base's own."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from diffusers.models.embeddings import MultiIPAdapterImageProjection
from torch import nn

from lorapool_runtime.engine.contract import Recipe
from lorapool_runtime.engine.diffusers.base.image_prompts import ImagePrompt
from lorapool_runtime.engine.diffusers.families.traits import Guidance

Uses = Sequence[tuple[ImagePrompt, float]]


@contextmanager
def attending(denoiser: Any, uses: Uses) -> Iterator[None]:
    """The denoiser attends to what these say, each at its scale."""
    if not uses:
        yield
        return
    own = denoiser.attn_processors
    # `set_attn_processor` empties what it is given, and wants one for each attention: a projection may have some too.
    denoiser.set_attn_processor({**own, **_together(uses)})
    denoiser.encoder_hid_proj = MultiIPAdapterImageProjection([prompt.projection for prompt, _ in uses])
    denoiser.config.encoder_hid_dim_type = "ip_image_proj"
    try:
        yield
    finally:
        denoiser.encoder_hid_proj = None
        denoiser.set_attn_processor(dict(own))
        denoiser.config.encoder_hid_dim_type = None


def prompt_arguments(guidance: Guidance, recipe: Recipe, pictures: Sequence[Any], uses: Uses) -> Mapping[str, Any]:
    """What a pipeline is called with for the pictures, one for each use."""
    if not uses:
        return {}
    embeds = [prompt.embeds(picture) for picture, (prompt, _) in zip(pictures, uses, strict=True)]
    if guidance is Guidance.CLASSIFIER_FREE:
        both = recipe.guidance_scale > 1
        return {"ip_adapter_image_embeds": [torch.cat(each) if both else each[1] for each in embeds]}
    # The second is read where there is a negative prompt; without it the pipeline wants an encoder.
    return {
        "ip_adapter_image_embeds": [said for _, said in embeds],
        "negative_ip_adapter_image_embeds": [none for none, _ in embeds],
    }


def _together(uses: Uses) -> dict[str, nn.Module]:
    """Processors of all of them at once: theirs hold weights that nobody copies."""
    all_of = [prompt.processors for prompt, _ in uses]
    return {name: _processor([each[name] for each in all_of], [scale for _, scale in uses]) for name in all_of[0]}


def _processor(parts: Sequence[Any], scales: list[float]) -> nn.Module:
    first = parts[0]
    with torch.device("meta"):
        made: nn.Module = type(first)(
            hidden_size=first.hidden_size,
            cross_attention_dim=first.cross_attention_dim,
            num_tokens=[0 for _ in parts],  # of an older way to call it
            scale=scales,
        )
    made.to_k_ip = nn.ModuleList(part.to_k_ip[0] for part in parts)
    made.to_v_ip = nn.ModuleList(part.to_v_ip[0] for part in parts)
    return made
