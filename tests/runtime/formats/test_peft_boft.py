"""BOFT files that PEFT writes, applied as PEFT applies them."""

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import BOFTConfig, get_peft_model
from safetensors.torch import load_file, save_file
from tests.reference import Part, block_diagonal, change
from tests.runtime.ask import adapter_file
from tests.runtime.formats.of_peft import assert_applied_as, loaded_into, saved
from torch import nn

from lorapool_api.kinds.conditions import Reason
from lorapool_api.lora.facts import Network
from lorapool_api.lora.fit import check_fits
from lorapool_api.lora.header import FactsError
from lorapool_runtime.adapters.file import ScaledAdapter
from lorapool_runtime.engine.diffusers.layers.switchboard import Switchboard
from lorapool_runtime.engine.diffusers.weights.read import LoraAdapter

# PEFT asks for a compiler of CUDA's, and does without.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Failed to load the CUDA extension:UserWarning"),
    pytest.mark.filterwarnings("ignore:Setting boft_n_butterfly_factor to 1:UserWarning"),
]

PREFIX = "base_model.model."


class StagedModel(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.to_k = nn.Linear(16, 12)
        self.proj = nn.Conv2d(12, 4, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.proj(torch.tanh(self.to_k(x)).mT.reshape(-1, 12, 3, 3))
        return out


def written(folder: Path) -> tuple[Path, Any]:
    """A file for the model, and PEFT's model with it."""
    made = get_peft_model(StagedModel(), BOFTConfig(target_modules=["to_k", "proj"], boft_block_size=4))
    return saved(made, folder, "boft_", 0.2)


def loaded(path: Path) -> tuple[StagedModel, Switchboard, LoraAdapter]:
    return loaded_into(StagedModel(), path)


@torch.no_grad()
def test_a_file_is_applied_as_peft_does(tmp_path: Path) -> None:
    path, theirs = written(tmp_path)
    model, board, adapter = loaded(path)
    assert_applied_as(theirs, model, board, adapter, torch.randn(2, 9, 16))


@pytest.mark.parametrize("stages", [1, 2, 3])
@torch.no_grad()
def test_several_stages_are_the_product_of_pefts_matrices(stages: int, tmp_path: Path) -> None:
    """PEFT itself draws with several stages on CUDA alone: its own methods say here what their matrices are."""
    path, theirs = written(tmp_path)
    layer = theirs.base_model.model.to_k
    blocks, scale = 0.3 * torch.randn(stages, 4, 4, 4), 1 + 0.2 * torch.randn(12, 1)
    whole = torch.eye(16)
    for stage in range(stages):
        shuffled = layer.perm2mat(layer.block_butterfly_perm(16, 4 // 2**stage, 2, stages - 1))
        whole = shuffled @ block_diagonal(layer.cayley_batch(blocks[stage])) @ shuffled.T @ whole
    save_file({f"{PREFIX}to_k.boft_R": blocks, f"{PREFIX}to_k.boft_s": scale}, path)

    model, board, adapter = loaded(path)
    wanted = scale * (model.to_k.weight @ whole.T)
    by_hand = model.to_k.weight.double() + change(Part({"boft_R": blocks, "boft_s": scale}), model.to_k.weight)
    torch.testing.assert_close(by_hand.float(), wanted)
    x = torch.randn(5, 16)
    bias = model.to_k.bias
    board.switch(board.plan((ScaledAdapter(adapter.device_adapter(adapter.flat), 1.0),)))
    torch.testing.assert_close(model.to_k(x), nn.functional.linear(x, wanted, bias))


@torch.no_grad()
def test_half_of_it_is_half_of_the_float64_change(tmp_path: Path) -> None:
    path, _ = written(tmp_path)
    model, board, adapter = loaded(path)
    tensors = load_file(path)
    plain: Any = StagedModel()
    for name in ("to_k", "proj"):
        module = plain.get_submodule(name)
        part = Part({each: tensors[f"{PREFIX}{name}.{each}"] for each in ("boft_R", "boft_s")})
        module.weight.data += (0.5 * change(part, module.weight.data)).float()
    board.switch(board.plan((ScaledAdapter(adapter.device_adapter(adapter.flat), 0.5),)))
    x = torch.randn(2, 9, 16)
    torch.testing.assert_close(model(x), plain(x))


def test_its_header_says_what_it_is_and_whether_it_fits(tmp_path: Path) -> None:
    facts = adapter_file(written(tmp_path)[0]).facts
    assert facts.networks == {Network.PEFT_BOFT}
    assert facts.rank == 4
    for shapes in ({"to_k": (12, 12), "proj": (4, 12, 3, 3)}, {"to_k": (12, 16), "proj": (4, 12, 1, 1)}):
        with pytest.raises(FactsError) as refusal:
            check_fits(facts, {"unet": shapes})
        assert refusal.value.reason is Reason.BASE_MODEL_MISMATCH
