"""The tensors of a file's module in the shapes that `layers.delta` takes, for each module of the base that they change.

What does not fit is refused before: `lorapool_api.lora` judges the shapes of a file and whether they are the base's.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Final

import torch

from lorapool_api.kinds.conditions import Reason
from lorapool_api.lora.fit import denoiser
from lorapool_api.lora.layouts.mmdit import RowRanges
from lorapool_api.lora.modules import FileModule, TargetFacts
from lorapool_api.lora.networks import Network, WeightShape
from lorapool_api.lora.peft_config import PeftConfig
from lorapool_runtime.engine.diffusers.layers.delta import take_rows
from lorapool_runtime.engine.diffusers.layers.switchboard import Switchboard
from lorapool_runtime.engine.diffusers.layers.target import TargetModule
from lorapool_runtime.engine.diffusers.weights.rotations import butterfly_of_peft, rotation_of_lycoris, rotation_of_peft
from lorapool_runtime.errors import AdapterError

Tensors = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class ModuleParts:
    """What a file says about one module of the base.

    Attributes:
        parts: in the shapes that `layers.delta` takes; modules that a file fuses share those that cannot be cut.
        rows: of what the parts make, those that are this module's; (): all.
    """

    target: TargetModule
    network: Network
    parts: Tensors
    rows: RowRanges = ()


def parts_of(
    board: Switchboard, module: FileModule, tensors: Tensors, config_of: Callable[[str], PeftConfig | None]
) -> list[ModuleParts]:
    """For each module of the base, its tensors; alpha is none of them.

    Args:
        config_of: PEFT's configuration of a component of the base.

    Raises:
        AdapterError: a module or a bias that the base lacks; as `arranged`.
    """
    meant = module.targets_in(
        lambda component, name: board.find(denoiser(component, board.components), name) is not None
    )
    targets = [_found(board, facts) for facts in meant]
    if "diff_b" in tensors and (bare := [str(target) for target in targets if not target.has_bias]):
        message = f"{', '.join(bare)} has no bias in the base; the file has its diff_b"
        raise AdapterError(Reason.BASE_MODEL_MISMATCH, message)
    parts = arranged(module.weight, targets[0].shape[1:], tensors, config_of(targets[0].component))
    return [_cut(target, facts, parts) for target, facts in zip(targets, meant, strict=True)]


def arranged(
    weight: WeightShape, inputs: Sequence[int], tensors: Tensors, config: PeftConfig | None = None
) -> dict[str, torch.Tensor]:
    """The parts as they are applied: 1 x 1 kernels are there or not as the base has them, three parts are two.

    Args:
        inputs: the sides of the base's weight but for the first, which are those of all modules that a file fuses.
        config: PEFT's, of the module's component.

    Raises:
        AdapterError: numbers that make no rotation, a configuration of another kind of network.
    """
    parts = {name: tensor for name, tensor in tensors.items() if name != "alpha"}
    if "mid" in parts:
        parts["down"] = _with_mid(parts["down"], parts.pop("mid"))
    if "oft_blocks" in parts:
        alpha = tensors.get("alpha")
        bound = 0.0 if alpha is None else float(alpha) * weight.outputs
        parts["rotation"] = rotation_of_lycoris(parts.pop("oft_blocks"), bound)
    if "oft_vectors" in parts:
        parts["rotation"] = rotation_of_peft(parts.pop("oft_vectors"), weight.rank, config)
    if "boft_blocks" in parts:
        parts["rotation"] = butterfly_of_peft(parts.pop("boft_blocks"))
        parts["rescale"] = parts.pop("boft_scale")
    if "ia3_l" in parts:
        parts["factors"] = parts.pop("ia3_l").double() - 1
    if "dora_scale" in parts:
        parts["magnitude_in" if weight.scaled_inputs else "magnitude"] = parts.pop("dora_scale")
    ones = (1,) * (len(inputs) - 1)
    shapes = {
        "down": (weight.rank, *inputs),
        "up": (weight.outputs, weight.rank, *ones),
        "diff": (weight.outputs, *inputs),
        "magnitude": (weight.outputs, 1, *ones),
        "magnitude_in": (1, inputs[0], *ones),
        "diff_b": (weight.outputs,),
        "a1": (inputs[0], weight.rank),
        "a2": (weight.rank, inputs[0]),
        "b1": (weight.outputs, weight.rank),
        "b2": (weight.rank, prod(inputs)),
        "rescale": (weight.outputs, 1, *ones),
        "factors": (weight.outputs or 1, weight.inputs or 1, *ones),
    }
    # What has its shape stays the tensor that it is: modules may share it.
    return {name: tensor.reshape(shapes[name]) if name in shapes else tensor for name, tensor in parts.items()}


def _with_mid(down: torch.Tensor, mid: torch.Tensor) -> torch.Tensor:
    """LoCon's three parts as two: a 1 x 1 convolution before a larger one is one larger convolution."""
    return torch.einsum("rshw,si->rihw", mid.double(), down.flatten(1).double())


def _found(board: Switchboard, facts: TargetFacts) -> TargetModule:
    component = denoiser(facts.component, board.components)
    target = board.find(component, facts.module)
    if target is None:
        raise AdapterError(Reason.BASE_MODEL_MISMATCH, f"the base has no module {component} {facts.module}")
    return target


# The part of each network that has the weight's rows, and along which of its sides.
_ROWS: Final = {
    Network.LORA: {"up": 0},
    Network.DORA: {"up": 0},
    Network.FULL: {"diff": 0},
    Network.LOKR: {},
    Network.GLORA: {"b1": 0},
}


def _cut(target: TargetModule, facts: TargetFacts, whole: Tensors) -> ModuleParts:
    parts, network = dict(whole), facts.weight.network
    sides = _ROWS.get(network) if network is not Network.LOHA else _loha_sides(parts)
    for name, side in {**(sides or {}), "magnitude": 0, "diff_b": 0}.items():
        if name in parts:
            parts[name] = take_rows(parts[name], facts.rows, side)
    # A block of a Kronecker product is none of smaller factors: it is cut out of the whole.
    return ModuleParts(target, network, parts, facts.rows if network is Network.LOKR else ())


def _loha_sides(parts: Tensors) -> dict[str, int]:
    """Around a core tensor the rows are the columns of `a`."""
    return {f"hada_w{half}_a": int(f"hada_t{half}" in parts) for half in "12"}
