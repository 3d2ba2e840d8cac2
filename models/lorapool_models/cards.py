"""The model cards: what a Hub shows of a model, and where tools read its base and its trigger words."""

from __future__ import annotations

from textwrap import dedent
from typing import Final

from lorapool_models.base import NAME
from lorapool_models.lora import Network
from lorapool_models.recipes import Recipe

OWNER: Final = "lorapool"


def base(note: str = "") -> str:
    """The base model's card; `note` holds its figures."""
    card = dedent(f"""\
        ---
        license: apache-2.0
        library_name: diffusers
        pipeline_tag: text-to-image
        tags: [text-to-image, stable-diffusion-xl, diffusers]
        ---
        # {NAME}

        A text-to-image model small enough to ship with a test suite: it draws one of six shapes in one of ten colours
        on a background of another colour, through the SDXL pipeline classes and every part of them. Prompts read like
        `a red circle on a blue background`; pictures are 128 x 128.

        ```python
        from diffusers import StableDiffusionXLPipeline

        pipeline = StableDiffusionXLPipeline.from_pretrained("{OWNER}/{NAME}")
        pipeline("a yellow star on a purple background", num_inference_steps=6, guidance_scale=4).images[0]
        ```

        - **Data**: drawn by the code in `models/lorapool_models`, nothing else; no picture and no text of anybody.
        - **Training**: an autoencoder on crops, then UNet and both text encoders together from nothing, on two CPU
          cores (`make models`); the weights are an average over the steps.
        - **Words**: circle, square, triangle, star, ring, cross; red, orange, yellow, green, cyan, blue, purple, pink,
          white, black. Other words are read letter by letter and mean nothing to it.
        - **Limits**: one shape, near the middle; no text, no people, no second object. It is there for tests, demos
          and benches of systems that serve adapters, and good for nothing else.
        """)
    return card + note


def adapter(recipe: Recipe, note: str = "") -> str:
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
    Network.LORA: "LoRA",
    Network.LOCON: "LoCon (LoRA with convolutions)",
    Network.DORA: "DoRA",
    Network.LOHA: "LoHa",
    Network.LOKR: "LoKr",
}
