"""VeRA files that PEFT writes, applied as PEFT applies them: all modules share two projections."""

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import VeraConfig, get_peft_model
from safetensors.torch import load_file
from tests.reference import Part, change
from tests.runtime.ask import adapter_file
from tests.runtime.formats.of_peft import assert_applied_as, loaded_into, saved
from torch import nn

from lorapool_api.kinds.conditions import Reason
from lorapool_api.lora.facts import Network
from lorapool_api.lora.fit import check_fits, check_rank
from lorapool_api.lora.header import FactsError
from lorapool_runtime.adapters.file import ScaledAdapter
from lorapool_runtime.engine.diffusers.layers.switchboard import Switchboard
from lorapool_runtime.engine.diffusers.weights.read import LoraAdapter
from lorapool_runtime.errors import AdapterError

PREFIX = "base_model.model."


class SharingModel(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.to_k = nn.Linear(8, 12)
        self.ff = nn.Linear(12, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.ff(torch.tanh(self.to_k(x)))
        return out


def written(folder: Path, by: float = 1.0, **options: Any) -> tuple[Path, Any]:
    """A file for the model, its factors so strong, and PEFT's model with it."""
    made = get_peft_model(SharingModel(), VeraConfig(target_modules=["to_k", "ff"], r=4, **options))
    return saved(made, folder, "vera_lambda", by)


def loaded(path: Path, dtype: torch.dtype = torch.float32) -> tuple[SharingModel, Switchboard, LoraAdapter]:
    return loaded_into(SharingModel(), path, dtype)


@torch.no_grad()
def test_a_file_is_applied_as_peft_does(tmp_path: Path) -> None:
    path, theirs = written(tmp_path)
    model, board, adapter = loaded(path)
    assert_applied_as(theirs, model, board, adapter, torch.randn(5, 8))


@torch.no_grad()
def test_half_of_it_is_half_of_the_float64_change(tmp_path: Path) -> None:
    path, _ = written(tmp_path)
    model, board, adapter = loaded(path)
    tensors = load_file(path)
    plain: Any = SharingModel()
    for name in ("to_k", "ff"):
        module = plain.get_submodule(name)
        own = {part: tensors[f"{PREFIX}{name}.{part}"] for part in ("vera_lambda_b", "vera_lambda_d")}
        shared = {part: tensors[f"base_model.{part}"] for part in ("vera_A", "vera_B")}
        module.weight.data += (0.5 * change(Part(own | shared), module.weight.data)).float()
    board.switch(board.plan((ScaledAdapter(adapter.device_adapter(adapter.flat), 0.5),)))
    x = torch.randn(5, 8)
    torch.testing.assert_close(model(x), plain(x))


@torch.no_grad()
def test_a_change_far_larger_than_the_weight_is_float64_s_to_rounding(tmp_path: Path) -> None:
    """PEFT's too; what a model makes of two roundings of such weights may be far apart."""
    path, theirs = written(tmp_path, by=10.0)
    model, board, adapter = loaded(path)
    tensors = load_file(path)
    exact: Any = SharingModel().double()
    ratios = []
    for name in ("to_k", "ff"):
        weight = exact.get_submodule(name).weight.data
        own = {part: tensors[f"{PREFIX}{name}.{part}"] for part in ("vera_lambda_b", "vera_lambda_d")}
        moved = change(Part(own | {p: tensors[f"base_model.{p}"] for p in ("vera_A", "vera_B")}), weight)
        ratios.append(float(moved.norm() / weight.norm()))
        weight += moved
    assert min(ratios) > 50
    board.switch(board.plan((ScaledAdapter(adapter.device_adapter(adapter.flat), 1.0),)))
    # Small inputs: where tanh is flat, nothing of the first change would be seen.
    x = 1e-3 * torch.randn(5, 8)
    wanted = exact(x.double())
    for made in (model(x), theirs(x)):
        assert (made.double() - wanted).abs().max() < 1e-5 * wanted.abs().max()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_the_modules_share_is_in_memory_once(dtype: torch.dtype, tmp_path: Path) -> None:
    _, _, adapter = loaded(written(tmp_path)[0], dtype)
    places = [slot.parts[part] for slot in adapter.slots for part in ("vera_a", "vera_b")]
    assert len(set(places)) == 2
    assert len(places) == 4


def test_its_header_says_what_it_is_and_whether_it_fits(tmp_path: Path) -> None:
    facts = adapter_file(written(tmp_path)[0]).facts
    assert facts.networks == {Network.VERA}
    assert facts.rank == 4
    with pytest.raises(FactsError) as refusal:
        check_rank(facts, 3)
    assert refusal.value.reason is Reason.RANK_TOO_HIGH
    for shapes in (
        {"to_k": (11, 8), "ff": (6, 12)},
        {"to_k": (12, 8), "ff": (6, 13)},
        {"to_k": (12, 8, 1, 1), "ff": (6, 12)},
    ):
        with pytest.raises(FactsError) as refusal:
            check_fits(facts, {"unet": shapes})
        assert refusal.value.reason is Reason.BASE_MODEL_MISMATCH


@pytest.mark.filterwarnings("ignore:Specified to not save vera_A and vera_B:UserWarning")
def test_a_file_whose_projections_come_from_a_seed_is_refused(tmp_path: Path) -> None:
    path, _ = written(tmp_path, save_projection=False)
    with pytest.raises(AdapterError, match="save_projection") as refusal:
        adapter_file(path)
    assert refusal.value.reason is Reason.UNSUPPORTED_FORMAT
