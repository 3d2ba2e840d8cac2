"""Adapters that count where a mask is white: pictures by the formula, for UNets, Flux, SD3 and Qwen-Image."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from diffusers import DiffusionPipeline
from PIL import Image
from tests import tiny, tiny_families
from tests.families import transformers
from tests.runtime.ask import Pixels, distance, image, read, reference_image, rendered, request
from tests.runtime.conftest import load_reference, make_engine
from tests.runtime.engine.regions.reference import MaskedChanges, apply_masked
from tests.runtime.files import EVERY

from lorapool_runtime.engine.result import Applied
from lorapool_runtime.errors import RecipeError

pytestmark = pytest.mark.timeout(600)
SEEN = 4
SIZE = {"width": 2 * tiny.SIZE, "height": tiny.SIZE}


@dataclass(frozen=True)
class Kind:
    """A family: its tiny base, the modules that an adapter changes, and the sizes of its sequences."""

    make: Callable[[Path], Path]
    component: str
    modules: tuple[str, ...]
    cells: tuple[tuple[int, int], ...]
    alpha: float = 3.0
    call: Mapping[str, Any] = field(default_factory=dict)


UNET = ("to_q", "to_k", "to_v", "to_out.0", "ff.net.2", "conv1", "conv_shortcut", "time_emb_proj", "q_proj")
FLUX = ("to_q", "to_k", "to_v", "to_out.0", "add_q_proj", "to_add_out", "net.2", "proj_mlp", "proj_out", "q_proj")
SD3 = ("to_q", "to_k", "to_v", "to_out.0", "add_q_proj", "to_add_out", "net.2", "proj", "q_proj", "context_embedder")
QWEN = (
    "to_q",
    "to_k",
    "to_v",
    "to_out.0",
    "add_k_proj",
    "to_add_out",
    "net.2",
    "img_in",
    "txt_in",
    "proj_out",
    "mod.1",
)
KINDS = {
    "sdxl": Kind(tiny.make_pipeline, "unet", UNET, ((16, 32), (8, 16))),
    "sd15": Kind(tiny_families.make_sd15, "unet", UNET, ((16, 32), (8, 16))),
    "flux": Kind(tiny_families.make_flux_pipeline, "transformer", FLUX, ((8, 16),)),
    "sd3": Kind(tiny_families.make_sd3_pipeline, "transformer", SD3, ((8, 16),)),
    "qwen-image": Kind(
        transformers.make_qwen_image,
        "transformer",
        QWEN,
        ((8, 16),),
        alpha=32.0,
        call={"true_cfg_scale": 3.0, "negative_prompt": " "},
    ),
}


class World:
    """A base and two adapters for it."""

    def __init__(self, kind: Kind, folder: Path) -> None:
        self.kind = kind
        self.model = kind.make(folder / "model")
        self.engine = make_engine(self.model)
        pipeline = self.reference()
        components = [name for name in (kind.component, "text_encoder") if hasattr(pipeline, name)]
        modules = [
            (component, name)
            for component in components
            for name, module in getattr(pipeline, component).named_modules()
            if name.endswith(kind.modules) and hasattr(module, "weight")
        ]
        self.changes = [tiny.make_changes(pipeline, modules, seed=seed, alpha=kind.alpha) for seed in (1, 2)]
        files = [tiny.write_diffusers(folder / f"{i}.safetensors", c) for i, c in enumerate(self.changes)]
        self.adapters = [read(self.engine, file) for file in files]

    def reference(self) -> Any:
        pipeline = DiffusionPipeline.from_pretrained(self.model)
        pipeline.set_progress_bar_config(disable=True)
        return pipeline

    def mine(self, *uses: tuple[int, float, Image.Image | None], **more: Any) -> Pixels:
        stack = [(self.adapters[i], scale) for i, scale, _ in uses]
        masks = tuple(mask for _, _, mask in uses)
        return image(self.engine, *stack, masks=masks if any(masks) else (), **SIZE, **more)

    def theirs(self, *uses: tuple[int, float, Image.Image | None]) -> Pixels:
        pipeline = self.reference()
        tiny.merge(pipeline, [(self.changes[i], scale) for i, scale, mask in uses if mask is None])
        masked = [MaskedChanges(self.changes[i], scale, mask) for i, scale, mask in uses if mask is not None]
        apply_masked(pipeline, self.kind.component, masked, self.kind.cells)
        return reference_image(pipeline, self.kind.call, **SIZE)


@pytest.fixture(scope="module", params=list(KINDS))
def world(request: pytest.FixtureRequest, one_thread: None, tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(KINDS[request.param], tmp_path_factory.mktemp("masks"))


def grey(value: int) -> Image.Image:
    return Image.new("L", (SIZE["width"], SIZE["height"]), value)


def half(*, left: bool) -> Image.Image:
    """White on one side of a line that goes through cells of the denoiser."""
    columns = np.arange(SIZE["width"]) < 27
    return Image.fromarray(np.tile(np.where(columns == left, 255, 0).astype(np.uint8), (SIZE["height"], 1)))


def noise(seed: int) -> Image.Image:
    dice = np.random.default_rng(seed)
    return Image.fromarray(dice.integers(0, 255, (SIZE["height"], SIZE["width"]), dtype=np.uint8))


def test_an_adapter_counts_where_its_mask_is_white(world: World) -> None:
    masked = world.mine((0, 0.8, half(left=True)))
    assert distance(masked, world.theirs((0, 0.8, half(left=True)))) <= 2
    assert distance(masked, world.mine()) > SEEN
    assert distance(masked, world.mine((0, 0.8, None))) > SEEN


def test_grey_is_some_of_it(world: World) -> None:
    assert distance(world.mine((0, 1.0, noise(3))), world.theirs((0, 1.0, noise(3)))) <= 2


def test_two_adapters_share_a_picture(world: World) -> None:
    uses = ((0, 0.8, half(left=True)), (1, 1.0, half(left=False)))
    assert distance(world.mine(*uses), world.theirs(*uses)) <= 2


def test_one_counts_everywhere_and_another_in_a_part(world: World) -> None:
    uses = ((0, 0.8, half(left=True)), (1, 0.6, None))
    assert distance(world.mine(*uses), world.theirs(*uses)) <= 2


def test_white_is_the_adapter_and_black_is_the_base(world: World) -> None:
    base = world.mine()
    assert distance(world.mine((0, 0.8, grey(255))), world.mine((0, 0.8, None))) <= 1
    assert distance(world.mine((0, 0.8, grey(0))), base) <= 1
    assert (world.mine() == base).all()


def test_each_image_of_a_request_is_masked(world: World) -> None:
    wanted = request((world.adapters[0], 0.8), masks=(half(left=True),), images=2, **SIZE)
    assert wanted.recipe.shape is None, "it shares no forward with others"
    made = rendered(world.engine, wanted)
    assert made.applied is Applied.UNMERGED
    assert distance(np.asarray(made.images[1]), world.mine((0, 0.8, half(left=True)), seed=8)) <= 1


@pytest.mark.parametrize("kind", ["dora diffusers", "loha kohya"])
def test_what_is_no_plain_lora_cannot_be_masked(model: Path, tmp_path: Path, kind: str) -> None:
    engine = make_engine(model)
    adapter = read(engine, EVERY[kind](load_reference(model), tmp_path))
    base = image(engine)
    with pytest.raises(RecipeError, match=r"of the kind (dora|loha) .* cannot be masked: only LoRA can"):
        image(engine, (adapter, 1.0), masks=(Image.new("L", (tiny.SIZE, tiny.SIZE), 255),))
    assert (image(engine) == base).all()


def test_a_family_whose_places_are_not_known_says_so(one_thread: None, tmp_path: Path) -> None:
    engine = make_engine(transformers.make_z_image(tmp_path / "z-image"))
    pipeline = engine.parts.pipeline
    changes = tiny.make_changes(pipeline, [("transformer", "layers.0.attention.to_q")])
    adapter = read(engine, tiny.write_diffusers(tmp_path / "a.safetensors", changes))
    with pytest.raises(RecipeError, match=r"adapters cannot be masked with Z-Image"):
        image(engine, (adapter, 1.0), masks=(Image.new("L", (tiny.SIZE, tiny.SIZE), 255),))
