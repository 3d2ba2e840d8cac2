"""OFT files that PEFT writes, applied as PEFT applies them."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import OFTConfig, get_peft_model
from safetensors.torch import load_file, save_file
from tests.reference import Part, change
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
from lorapool_runtime.errors import AdapterError

OPTIONS: dict[str, dict[str, Any]] = {
    "Cayley's transform": {"use_cayley_neumann": False},
    "series of five": {},
    "series of three": {"num_cayley_neumann_terms": 3},
    "series of two": {"num_cayley_neumann_terms": 2},
    "series of eight": {"num_cayley_neumann_terms": 8},
    "bounded": {"use_cayley_neumann": False, "coft": True, "eps": 0.4},
    "bounded series": {"coft": True, "eps": 0.4},
    "one block for all": {"block_share": True},
    "one bounded block for all": {"block_share": True, "use_cayley_neumann": False, "coft": True, "eps": 0.4},
    "as many blocks": {"oft_block_size": 0, "r": 2},
}


class TurnedModel(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.to_k = nn.Linear(8, 12)
        self.proj = nn.Conv2d(12, 4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.proj(torch.tanh(self.to_k(x)).mT.reshape(-1, 12, 3, 3))
        return out


def written(folder: Path, **options: Any) -> tuple[Path, Any]:
    """A file for the model, and PEFT's model with it."""
    config = OFTConfig(target_modules=["to_k", "proj"], **{"oft_block_size": 4, **options})
    made = get_peft_model(TurnedModel(), config)
    return saved(made, folder, "oft_R", 0.2)


def loaded(path: Path) -> tuple[TurnedModel, Switchboard, LoraAdapter]:
    return loaded_into(TurnedModel(), path)


@pytest.mark.parametrize("name", OPTIONS)
@torch.no_grad()
def test_a_file_is_applied_as_peft_does(name: str, tmp_path: Path) -> None:
    path, theirs = written(tmp_path, **OPTIONS[name])
    model, board, adapter = loaded(path)
    assert_applied_as(theirs, model, board, adapter, torch.randn(2, 9, 8))


@pytest.mark.parametrize("name", OPTIONS)
@torch.no_grad()
def test_half_of_it_is_half_of_the_float64_change(name: str, tmp_path: Path) -> None:
    path, _ = written(tmp_path, **OPTIONS[name])
    model, board, adapter = loaded(path)
    config = json.loads(path.with_name("adapter_config.json").read_bytes())
    plain: Any = TurnedModel()
    for key, tensor in load_file(path).items():
        module = plain.get_submodule(key.removeprefix("base_model.model.").removesuffix(".oft_R.weight"))
        part = Part({"oft_R.weight": tensor}, config=config)
        module.weight.data += (0.5 * change(part, module.weight.data)).float()
    board.switch(board.plan((ScaledAdapter(adapter.device_adapter(adapter.flat), 0.5),)))
    x = torch.randn(2, 9, 8)
    torch.testing.assert_close(model(x), plain(x))


def test_its_header_says_what_it_is_and_whether_it_fits(tmp_path: Path) -> None:
    path, _ = written(tmp_path)
    facts = adapter_file(path).facts
    assert facts.networks == {Network.PEFT_OFT}
    assert facts.rank == 4
    for shapes in ({"to_k": (12, 12), "proj": (4, 12, 1, 1)}, {"to_k": (12, 8), "proj": (4, 8, 1, 1)}):
        with pytest.raises(FactsError) as refusal:
            check_fits(facts, {"unet": shapes})
        assert refusal.value.reason is Reason.BASE_MODEL_MISMATCH


def test_one_block_for_all_fits_as_many_inputs_as_it_divides(tmp_path: Path) -> None:
    facts = adapter_file(written(tmp_path, block_share=True)[0]).facts
    check_fits(facts, {"unet": {"to_k": (12, 8), "proj": (4, 12, 1, 1)}})
    with pytest.raises(FactsError) as refusal:
        check_fits(facts, {"unet": {"to_k": (12, 10), "proj": (4, 12, 1, 1)}})
    assert refusal.value.reason is Reason.BASE_MODEL_MISMATCH


@torch.no_grad()
def test_a_larger_kernel_which_peft_adds_and_merges_differently_is_refused(tmp_path: Path) -> None:
    model = get_peft_model(nn.Sequential(nn.Conv2d(4, 4, 3)), OFTConfig(target_modules=["0"], oft_block_size=4))
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data += 0.2 * torch.randn_like(parameter)
    model.save_pretrained(str(tmp_path))
    x = torch.randn(1, 4, 6, 6)
    added = model(x)
    assert not torch.allclose(model.merge_and_unload()(x), added, atol=1e-2)

    with pytest.raises(FactsError, match="larger than 1 x 1") as refusal:
        check_fits(adapter_file(tmp_path / "adapter_model.safetensors").facts, {"unet": {"0": (4, 4, 3, 3)}})
    assert refusal.value.reason is Reason.UNSUPPORTED_FORMAT


def test_a_configuration_of_another_network_says_nothing_of_it(tmp_path: Path) -> None:
    path, _ = written(tmp_path)
    path.with_name("adapter_config.json").write_text('{"peft_type": "LORA", "r": 4}')
    with pytest.raises(AdapterError, match="OFT") as refusal:
        loaded(path)
    assert refusal.value.reason is Reason.UNSUPPORTED_FORMAT


def test_weights_in_a_layout_that_has_no_configuration_are_refused_by_their_header(tmp_path: Path) -> None:
    save_file({"unet.to_k.oft_R.weight": torch.zeros(2, 6)}, tmp_path / "a.safetensors")
    with pytest.raises(AdapterError, match="peft-oft") as refusal:
        adapter_file(tmp_path / "a.safetensors")
    assert refusal.value.reason is Reason.UNSUPPORTED_FORMAT


def test_a_series_that_grows_beyond_the_bases_dtype_is_refused(tmp_path: Path) -> None:
    path, _ = written(tmp_path)
    save_file({key: tensor + 1e12 for key, tensor in load_file(path).items()}, path)
    with pytest.raises(AdapterError) as refusal:
        loaded(path)
    assert refusal.value.reason is Reason.INVALID_WEIGHTS
