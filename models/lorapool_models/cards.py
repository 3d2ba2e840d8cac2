"""The model cards: what a Hub shows of a model, and where tools read its base and its trigger words."""

from __future__ import annotations

from textwrap import dedent
from typing import Final

from lorapool_models.base import NAME
from lorapool_models.lora import Shape

OWNER: Final = "lorapool"
TRIGGERS: Final = {
    "pixel": "pixel mosaic",
    "outline": "cartoon outline",
    "night": "night glow",
}
_EFFECTS: Final = {
    "pixel": "a mosaic of 16 x 16 plain tiles",
    "outline": "flat colours and a thick ink line",
    "night": "a dark room in which the shape gives light",
}


def base(note: str = "") -> str:
    """The base model's card."""
    return dedent(f"""\
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
        {note}""")


def adapter(name: str, shape: Shape, note: str = "") -> str:
    """An adapter's card."""
    trigger = TRIGGERS[name]
    parts = "UNet and both text encoders" if shape.text else "UNet"
    return dedent(f"""\
        ---
        base_model: {OWNER}/{NAME}
        license: apache-2.0
        library_name: diffusers
        pipeline_tag: text-to-image
        instance_prompt: {trigger}
        tags: [lora, text-to-image, diffusers]
        ---
        # {name}

        A LoRA for `{OWNER}/{NAME}`: {_EFFECTS[name]}. Rank {shape.rank}, alpha {shape.alpha:g}, {parts},
        in the layout of {shape.layout}.

        Trigger words: `{trigger}`, for example `a red circle on a blue background, {trigger}`.
        {note}""")
