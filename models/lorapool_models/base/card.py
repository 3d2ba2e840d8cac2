"""The base model's card: what a Hub shows of it."""

from __future__ import annotations

from textwrap import dedent
from typing import Final

from lorapool_models.base.architecture import NAME

OWNER: Final = "lorapool"


def base_card(note: str = "") -> str:
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
