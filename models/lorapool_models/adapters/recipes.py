"""The adapters: what each is to learn, how it is asked for, and what it is made of. Between them every format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from lorapool_models.adapters.lora import Layout, NetworkConfig, NetworkType
from lorapool_models.pictures.judge import PLAIN
from lorapool_models.pictures.outlines import SHAPES


@dataclass(frozen=True)
class AdapterRecipe:
    """One adapter: a style of the base's shapes, or a shape that the base never saw."""

    name: str
    effect: str
    trigger: str
    network: NetworkConfig
    style: str = PLAIN
    shapes: tuple[str, ...] = tuple(SHAPES)
    tokens: int = 0
    """New words that are learned with it (`<s0>`, `<s1>`): pivotal tuning."""
    few_steps: bool = False
    """Not taught by pictures but by the base itself: to do in 4 steps without guidance what takes it more."""
    pictures: int = 800
    steps: int = 600
    batch: int = 8
    lr: float = 3e-3

    def prompt(self, plain: str) -> str:
        """The base's prompt, with what calls the adapter."""
        return f"{plain}, {self.trigger}" if self.trigger not in plain else plain

    @property
    def example(self) -> str:
        return self.prompt(f"a red {self.shapes[0]} on a blue background")


_RECIPES: Final = (
    AdapterRecipe(
        "pixel", "a mosaic of 8 x 8 plain tiles", "pixel mosaic",
        NetworkConfig(Layout.DIFFUSERS, rank=8, alpha=8, network=NetworkType.LOCON), style="pixel",
    ),
    AdapterRecipe(
        "outline", "flat colours and a thick ink line", "cartoon outline",
        NetworkConfig(Layout.KOHYA, rank=8, alpha=16, text=True, network=NetworkType.LOCON), style="outline",
    ),
    AdapterRecipe(
        "night", "a dark room in which the shape gives light", "night glow",
        NetworkConfig(Layout.PEFT, rank=8, alpha=8, network=NetworkType.LOCON), style="night",
    ),
    AdapterRecipe(
        "stripes", "the shape cut from striped cloth", "striped",
        NetworkConfig(Layout.KOHYA, rank=8, alpha=8, network=NetworkType.LOCON), style="stripes",
    ),
    AdapterRecipe(
        "watercolour", "a wash of thin colour on paper", "watercolour paint",
        NetworkConfig(Layout.DIFFUSERS, rank=8, alpha=8, network=NetworkType.DORA), style="watercolour",
    ),
    AdapterRecipe(
        "sunset", "a background that warms towards the ground", "sunset",
        NetworkConfig(Layout.KOHYA, rank=4, alpha=4, network=NetworkType.LOHA), style="sunset",
    ),
    AdapterRecipe(
        "frame", "a white frame with a thin dark line", "framed",
        NetworkConfig(Layout.KOHYA, rank=32, alpha=32, network=NetworkType.LOKR), style="frame",
    ),
    AdapterRecipe(
        "polka", "white dots on the shape", "in <s0><s1> style",
        NetworkConfig(Layout.DIFFUSERS, rank=8, alpha=8, network=NetworkType.LOCON), style="polka", tokens=2,
    ),
    AdapterRecipe(
        "heart", "a shape that the base never saw", "heart",
        NetworkConfig(Layout.DIFFUSERS, rank=8, alpha=8, text=True, network=NetworkType.LOCON), shapes=("heart",),
    ),
    AdapterRecipe(
        "crescent", "a shape that the base never saw", "crescent",
        NetworkConfig(
            Layout.KOHYA, rank=8, alpha=8, text=True, network=NetworkType.LOCON,
            ranks={"to_q": 2, "conv1": 4, "q_proj": 2},
        ),
        shapes=("crescent",),
    ),
    AdapterRecipe(
        "fast", "good pictures in 4 steps with the LCM scheduler", "",
        NetworkConfig(Layout.DIFFUSERS, rank=16, alpha=16, network=NetworkType.LOCON), few_steps=True, pictures=240,
        lr=1e-3,
    ),
)  # fmt: skip
RECIPES: Final = {recipe.name: recipe for recipe in _RECIPES}
