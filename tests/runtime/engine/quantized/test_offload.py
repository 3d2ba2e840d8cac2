"""A base that lies in host memory draws what it draws on the device, with every kind of adapter."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from tests import tiny
from tests.runtime.ask import adapter_file, distance, image, read
from tests.runtime.conftest import load_reference, make_engine
from tests.runtime.files import EVERY
from torch import nn

from lorapool_api.kinds.base_model import BaseModelSpec, Offload, Quantization, QuantizationMethod
from lorapool_api.kinds.serving import ApplyMode, CompileMode, Serving
from lorapool_api.kinds.sources import ModelSource
from lorapool_api.lora.networks import Network
from lorapool_runtime.adapters.file import ScaledAdapter
from lorapool_runtime.engine.diffusers.base.offload import serving_of
from lorapool_runtime.engine.diffusers.engine import DiffusersEngine
from lorapool_runtime.engine.diffusers.layers.delta import ModuleDelta
from lorapool_runtime.engine.diffusers.layers.switchboard import DeviceAdapter, Switchboard
from lorapool_runtime.errors import ModelError

ROUNDING = 1
KINDS = ("lora kohya, mixed ranks, text too", "dora diffusers", "loha kohya")


@pytest.fixture(scope="module")
def offloaded(model: Path) -> DiffusersEngine:
    return make_engine(model, ApplyMode.AUTO, offload=Offload.GROUP)


@contextmanager
def visits(engine: DiffusersEngine) -> Iterator[list[str]]:
    """The components of which a group is brought to the device while this lasts."""
    seen: list[str] = []
    hooks = []
    for component in ("unet", "text_encoder", "text_encoder_2"):
        for module in getattr(engine.parts.pipeline, component).modules():
            registry: Any = getattr(module, "_diffusers_hook", None)
            if registry is not None and registry.get_hook("group_offloading") is not None:
                hooks.append(module.register_forward_pre_hook(lambda *_, c=component: seen.append(c)))
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


@pytest.mark.parametrize("kind", KINDS)
def test_an_adapter_draws_the_same(
    kind: str, offloaded: DiffusersEngine, engine: DiffusersEngine, model: Path, tmp_path: Path
) -> None:
    file = adapter_file(EVERY[kind](load_reference(model), tmp_path))
    one, other = offloaded.read(file), engine.read(file)
    with visits(offloaded) as seen:
        made = image(offloaded, (one, 0.7), prompt=kind)
    assert set(seen) == {"unet", "text_encoder", "text_encoder_2"}
    assert distance(made, image(engine, (other, 0.7), prompt=kind)) <= ROUNDING
    assert distance(image(offloaded), image(engine)) <= ROUNDING


def test_a_base_may_be_packed_as_well(model: Path, tmp_path: Path) -> None:
    quantization = Quantization(method=QuantizationMethod.INT8)
    packed, both = (
        make_engine(model, ApplyMode.AUTO, quantization=quantization, offload=offload)
        for offload in (Offload.NONE, Offload.GROUP)
    )
    reference = load_reference(model)
    path = tiny.write_kohya(tmp_path / "a.safetensors", tiny.make_changes(reference, tiny.attention_modules(reference)))
    assert distance(image(both, (read(both, path), 1.0)), image(packed, (read(packed, path), 1.0))) <= ROUNDING


def test_it_is_not_compiled() -> None:
    source = ModelSource.model_construct(path="/models/base")
    with pytest.raises(ModelError, match=r"leaves no room for a compiled denoiser: serving\.compile is Off"):
        serving_of(BaseModelSpec(source=source, offload=Offload.GROUP), Serving(compile=CompileMode.DEFAULT))


def test_nothing_is_merged_into_it(model: Path) -> None:
    with pytest.raises(ModelError, match=r"offload Group leaves no room for merged weights"):
        make_engine(model, ApplyMode.MERGED, offload=Offload.GROUP)


def test_what_is_made_of_a_weight_in_host_memory_lies_on_the_device() -> None:
    """`meta` stands for the device: it has no numbers, and refuses to be added to those of the host."""
    model = nn.ModuleDict({"one": nn.Linear(8, 12)}).requires_grad_(False)
    board = Switchboard({"unet": model})
    target = board.find("unet", "one")
    assert target is not None
    pair = {"down": torch.empty(2, 8, device="meta"), "up": torch.empty(12, 2, device="meta")}
    dora = ModuleDelta(target, Network.DORA, pair | {"magnitude": torch.empty(12, 1, device="meta")}, 1.0)
    lora, full = (
        ModuleDelta(target, Network.LORA, pair, 1.0),
        ModuleDelta(
            target,
            Network.FULL,
            {name: torch.empty(size, device="meta") for name, size in (("diff", (12, 8)), ("diff_b", (12,)))},
            1.0,
        ),
    )

    def active(delta: ModuleDelta) -> Any:
        board.switch(board.plan((ScaledAdapter(DeviceAdapter("a", (delta,), 0), 1.0),)))
        return model["one"].active

    assert active(dora).magnitude_ratio.device.type == "meta"
    assert active(full).weight.device.type == "meta"
    assert active(full).bias.device.type == "meta"
    apart = (1.0, 1000.0)  # of one strength they would be one pair
    stacks = [((ScaledAdapter(DeviceAdapter(f"{scale}", (lora,), 0), scale),), 1) for scale in apart]
    board.switch(board.plan_rows(stacks))
    rows: Any = model["one"].active
    assert rows.stacked.downs.device.type == "meta"
    board.switch(board.plan_rows([(stack, 1) for stack, _ in (stacks[0], stacks[0])]))
    rows = model["one"].active
    assert rows.shared.branch.down.device.type == "meta"
