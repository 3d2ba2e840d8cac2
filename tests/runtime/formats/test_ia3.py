"""IA3 files that PEFT writes, applied as PEFT applies them, bias included."""

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import IA3Config, get_peft_model
from tests.reference import Part, change
from tests.runtime.ask import adapter_file
from tests.runtime.formats.of_peft import assert_applied_as, loaded_into, saved
from torch import nn

from lorapool_api.lora.facts import Network
from lorapool_api.lora.fit import check_fits
from lorapool_api.lora.header import FactsError
from lorapool_runtime.adapters.file import ScaledAdapter
from lorapool_runtime.engine.diffusers.layers.switchboard import Switchboard
from lorapool_runtime.engine.diffusers.weights.read import LoraAdapter


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.to_k = nn.Linear(8, 12)
        self.ff = nn.Linear(12, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.ff(torch.tanh(self.to_k(x)))
        return out


def written(folder: Path) -> tuple[Path, Any]:
    """A file for the model, and PEFT's model with it."""
    config = IA3Config(target_modules=["to_k", "ff"], feedforward_modules=["ff"])
    made = get_peft_model(Model(), config)
    return saved(made, folder, "ia3_l", 0.3)


def loaded(path: Path) -> tuple[Model, Switchboard, LoraAdapter]:
    return loaded_into(Model(), path)


@torch.no_grad()
def test_a_file_is_applied_as_peft_does(tmp_path: Path) -> None:
    path, theirs = written(tmp_path)
    model, board, adapter = loaded(path)
    assert_applied_as(theirs, model, board, adapter, torch.randn(5, 8))


@torch.no_grad()
def test_half_of_it_is_half_way(tmp_path: Path) -> None:
    path, theirs = written(tmp_path)
    model, board, adapter = loaded(path)
    board.switch(board.plan((ScaledAdapter(adapter.device_adapter(adapter.flat), 0.5),)))
    x = torch.randn(5, 8)
    plain: Any = Model()
    for name in ("to_k", "ff"):
        factors = theirs.base_model.model.get_submodule(name).ia3_l["default"]
        module = plain.get_submodule(name)
        module.weight.data += (0.5 * change(Part({"ia3_l": factors.data}), module.weight.data)).float()
        if name == "to_k":
            module.bias.data *= 1 + 0.5 * (factors.data.flatten() - 1)
    torch.testing.assert_close(model(x), plain(x))


def test_its_header_says_what_it_is_and_whether_it_fits(tmp_path: Path) -> None:
    path, _ = written(tmp_path)
    facts = adapter_file(path).facts
    assert facts.networks == {Network.IA3}
    for shapes in ({"to_k": (11, 8), "ff": (6, 12)}, {"to_k": (12, 8), "ff": (6, 11)}):
        with pytest.raises(FactsError):
            check_fits(facts, {"unet": shapes})
