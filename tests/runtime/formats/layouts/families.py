"""Denoisers of several families at their real widths, without weights, and files for them in trainers' layouts.

What a file means to lorapool is compared with what diffusers converts it to, module by module: the low-rank products of
both with the same random inputs. The models are on the meta device, so that they take no memory.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import diffusers
import torch
from diffusers.utils import convert_unet_state_dict_to_peft
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tests.runtime.ask import adapter_file
from torch import Tensor

from lorapool_api.lora.fit import check_fits
from lorapool_runtime.engine.diffusers.layers.switchboard import Switchboard
from lorapool_runtime.engine.diffusers.weights.read import read_adapter

RANK = 2
ALPHA = 1.0
"""Of the layouts that write one: alpha / rank is 0.5, and a reader that forgets it is off by two."""
Shape = tuple[int, int]
Shapes = dict[str, Shape]
Outputs = dict[str, Tensor]


@dataclass(frozen=True)
class Family:
    """A denoiser of diffusers and the pipeline whose loader reads adapters for it; "": its pipeline has none."""

    denoiser: str
    pipeline: str
    sizes: tuple[tuple[str, Any], ...] = ()

    @property
    def component(self) -> str:
        return "unet" if self.denoiser.startswith("UNet") else "transformer"

    def model(self) -> Any:
        with torch.device("meta"):
            return getattr(diffusers, self.denoiser)(**dict(self.sizes))


@cache
def board(family: Family) -> Switchboard:
    return Switchboard({family.component: family.model()})


def modules_of(family: Family) -> dict[str, Shape]:
    """diffusers' names of its Linears, (outputs, inputs)."""
    named = board(family).modules()[family.component]
    return {name: (shape[0], shape[1]) for name, shape in named.items() if len(shape) == 2}


# ---- files -----------------------------------------------------------------------------------------------------

Write = Callable[[Path, Shapes], Path]


def written(prefix: str, down: str, up: str, *, flat: bool = False, alpha: bool = False) -> Write:
    """A writer of random low-rank pairs under such keys; `flat`: with `_` for `.` in the modules' names."""

    def write(path: Path, shapes: Shapes) -> Path:
        dice = torch.Generator().manual_seed(len(shapes))
        tensors: dict[str, Tensor] = {}
        for module, (outputs, inputs) in shapes.items():
            key = prefix + (module.replace(".", "_") if flat else module)
            tensors[f"{key}.{down}.weight"] = torch.randn(RANK, inputs, generator=dice)
            tensors[f"{key}.{up}.weight"] = torch.randn(outputs, RANK, generator=dice)
            if alpha:
                tensors[f"{key}.alpha"] = torch.tensor(ALPHA)
        save_file(tensors, path)
        return path

    return write


def with_configuration(path: Path, shapes: Shapes) -> Path:
    """As `save_lora_weights` writes it, alpha in the metadata."""
    written("transformer.", "lora_A", "lora_B")(path, shapes)
    said = {"transformer.r": RANK, "transformer.lora_alpha": ALPHA, "transformer.target_modules": list(shapes)}
    save_file(load_file(path), path, {"lora_adapter_metadata": json.dumps(said)})
    return path


KOHYA = written("lora_unet_", "lora_down", "lora_up", flat=True, alpha=True)
ONE_TRAINER = written("lora_transformer_", "lora_down", "lora_up", flat=True, alpha=True)
AI_TOOLKIT = written("diffusion_model.", "lora_A", "lora_B")
COMFY = written("diffusion_model.", "lora_down", "lora_up", alpha=True)
DIFFUSERS = written("transformer.", "lora_A", "lora_B")
WITH_ALPHA = written("transformer.", "lora_A", "lora_B", alpha=True)
BARE = written("", "lora_down", "lora_up", alpha=True)
OF_PEFT = written("", "lora_A.default", "lora_B.default")
BARE_PEFT = written("base_model.model.", "lora_A", "lora_B")

# ---- what both make of them ------------------------------------------------------------------------------------


def by_lorapool(family: Family, path: Path) -> Outputs:
    """What the file adds to the output of each module of the base."""
    here = board(family)
    file = adapter_file(path)
    check_fits(file.facts, here.modules())
    adapter = read_adapter(file, here, torch.float32, widths={})
    made: Outputs = {}
    for delta in adapter.device_adapter(adapter.flat).deltas:
        name = delta.target.name
        assert name not in made
        made[name] = delta.scale * _product(delta.parts["down"], delta.parts["up"])
    return made


def by_diffusers(family: Family, path: Path) -> Outputs:
    """The same of diffusers' own loader, which takes the converted file for this model."""
    model = family.model()
    state, alphas = _converted(family, load_file(path), model.config)
    model.load_lora_adapter(
        state, prefix=family.component, metadata=_metadata(path), network_alphas=alphas, low_cpu_mem_usage=True
    )
    made: Outputs = {}
    for name, layer in model.named_modules():
        if hasattr(layer, "lora_A") and len(layer.lora_A):
            key = f"{family.component}.{name}"
            made[name] = layer.scaling["default_0"] * _product(
                state[f"{key}.lora_A.weight"], state[f"{key}.lora_B.weight"]
            )
    assert 2 * len(made) == sum(".lora_" in key for key in state)
    return made


_LEAVING_ALPHAS = {"FluxPipeline", "BriaFiboPipeline"}


def _converted(family: Family, state: Outputs, config: Any) -> tuple[Outputs, Outputs]:
    """By the pipeline's own converter: the weights under its names, and the alphas that it leaves to its loader."""
    if not family.pipeline:
        return state, {}
    convert = getattr(diffusers, family.pipeline).lora_state_dict
    if family.component == "unet":
        weights, alphas = convert(state, unet_config=config)
        return convert_unet_state_dict_to_peft(weights), alphas or {}
    if family.pipeline in _LEAVING_ALPHAS:
        weights, alphas = convert(state, return_alphas=True)
        return weights, alphas or {}
    return convert(state), {}


def _metadata(path: Path) -> dict[str, Any] | None:
    with safe_open(path, framework="pt") as file:
        said = (file.metadata() or {}).get("lora_adapter_metadata")
    return None if said is None else json.loads(said)


def _product(down: Tensor, up: Tensor) -> Tensor:
    """B A x of some x, which is the same for all of that width."""
    x = torch.randn(down.shape[1], 2, generator=torch.Generator().manual_seed(down.shape[1]))
    return up.double() @ (down.double() @ x.double())


def apart(ours: Outputs, theirs: Outputs) -> float:
    """The largest difference, of the largest value of each module. The modules must be the same."""
    assert ours.keys() == theirs.keys()
    return max(float((ours[n] - theirs[n]).abs().max() / theirs[n].abs().max()) for n in theirs)
