"""Files that PEFT writes for a small model, beside PEFT's own model with them."""

from pathlib import Path
from typing import Any, TypeVar

import torch
from tests.runtime.ask import adapter_file
from torch import nn

from lorapool_api.lora.fit import check_fits
from lorapool_runtime.adapters.file import ScaledAdapter
from lorapool_runtime.engine.diffusers.layers.switchboard import Switchboard
from lorapool_runtime.engine.diffusers.weights.read import LoraAdapter, read_adapter

AnyModel = TypeVar("AnyModel", bound=nn.Module)


def saved(made: Any, folder: Path, touched: str, by: float) -> tuple[Path, Any]:
    """The file of PEFT's model, and that; parameters with `touched` in their names are moved at random."""
    for name, parameter in made.named_parameters():
        if touched in name:
            parameter.data += by * torch.randn_like(parameter)
    made.save_pretrained(str(folder))
    return folder / "adapter_model.safetensors", made


def loaded_into(
    model: AnyModel, path: Path, dtype: torch.dtype = torch.float32
) -> tuple[AnyModel, Switchboard, LoraAdapter]:
    """The model with its board, and the adapter as the runtime reads it."""
    model.requires_grad_(False)
    board = Switchboard({"unet": model})
    file = adapter_file(path)
    check_fits(file.facts, board.modules())
    return model, board, read_adapter(file, board, dtype, widths={})


@torch.no_grad()
def assert_applied_as(
    theirs: nn.Module, model: nn.Module, board: Switchboard, adapter: LoraAdapter, x: torch.Tensor
) -> None:
    """The model with the adapter says of `x` what PEFT's says, and afterwards what it said before."""
    bare = model(x)
    board.switch(board.plan((ScaledAdapter(adapter.device_adapter(adapter.flat), 1.0),)))
    assert not torch.allclose(model(x), bare, atol=1e-2)
    torch.testing.assert_close(model(x), theirs(x))
    board.clear()
    assert torch.equal(model(x), bare)
