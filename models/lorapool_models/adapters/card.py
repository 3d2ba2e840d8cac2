"""An adapter's card: what a Hub shows of it, and where tools read its base and its trigger words."""

from __future__ import annotations

from textwrap import dedent
from typing import Final

from lorapool_models.adapters.lora import NetworkType
from lorapool_models.adapters.recipes import AdapterRecipe
from lorapool_models.base.architecture import NAME
from lorapool_models.base.card import OWNER


def adapter_card(recipe: AdapterRecipe, note: str = "") -> str:
    """An adapter's card."""
    shape = recipe.network
    parts = "UNet and both text encoders" if shape.text else "UNet"
    asked = f"Trigger words: `{recipe.trigger}`, for example `{recipe.example}`."
    if recipe.few_steps:
        asked = "It needs no trigger words: the LCM scheduler, 4 steps and guidance 1 are all."
    card = dedent(f"""\
        ---
        base_model: {OWNER}/{NAME}
        license: apache-2.0
        library_name: diffusers
        pipeline_tag: text-to-image
        instance_prompt: {recipe.trigger}
        tags: [lora, text-to-image, diffusers]
        ---
        # {recipe.name}

        A {_KINDS[shape.network]} for `{OWNER}/{NAME}`: {recipe.effect}.
        Rank {shape.rank}, alpha {shape.alpha:g}, {parts}, in the layout of {shape.layout}.

        {asked}
        """)
    return card.replace("instance_prompt: \n", "") + note


_KINDS: Final = {
    NetworkType.LORA: "LoRA",
    NetworkType.LOCON: "LoCon (LoRA with convolutions)",
    NetworkType.DORA: "DoRA",
    NetworkType.LOHA: "LoHa",
    NetworkType.LOKR: "LoKr",
}
