"""What cannot be applied is refused with its reason, and the base stays what it was to the bit."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from tests import tiny
from tests.runtime.ask import image, read, recipe, rendered
from tests.tiny import Change

from lorapool_api.kinds.conditions import Reason
from lorapool_api.lora.facts import read_facts
from lorapool_api.lora.fit import check_fits
from lorapool_api.lora.header import FactsError
from lorapool_runtime.adapters.check import read_header
from lorapool_runtime.engine.contract import BaseInfo, RenderRequest
from lorapool_runtime.engine.diffusers.engine import DiffusersEngine
from lorapool_runtime.errors import AdapterError, Stopped

Breaking = Callable[[list[Change]], dict[str, torch.Tensor]]


@pytest.fixture
def some(reference: Any) -> list[Change]:
    return tiny.make_changes(reference, tiny.attention_modules(reference)[:6])


def parts(changes: list[Change]) -> dict[str, torch.Tensor]:
    """The tensors of a kohya file."""
    tensors: dict[str, torch.Tensor] = {}
    for c in changes:
        name = tiny.kohya_name(c.component, c.module)
        tensors |= {f"{name}.lora_down.weight": c.down, f"{name}.lora_up.weight": c.up}
    return tensors


def refused(engine: DiffusersEngine, path: Path, tensors: dict[str, torch.Tensor]) -> AdapterError | FactsError:
    save_file({k: v.contiguous() for k, v in tensors.items()}, path)
    with pytest.raises((AdapterError, FactsError)) as error:
        read(engine, path)
    assert isinstance(error.value, AdapterError | FactsError)
    return error.value


def renamed(tensors: dict[str, torch.Tensor], old: str, new: str) -> dict[str, torch.Tensor]:
    return {k.replace(old, new): v for k, v in tensors.items()}


def test_a_module_that_the_base_lacks_is_named(engine: DiffusersEngine, some: list[Change], tmp_path: Path) -> None:
    error = refused(engine, tmp_path / "a.safetensors", renamed(parts(some), "attn1", "attn7"))
    assert error.reason is Reason.BASE_MODEL_MISMATCH
    assert "attn7" in error.message


def test_a_module_of_another_shape_is_named(engine: DiffusersEngine, some: list[Change], tmp_path: Path) -> None:
    first, *others = some
    wide = Change(first.component, first.module, torch.randn(4, 99), first.up, 4.0)
    error = refused(engine, tmp_path / "a.safetensors", parts([wide, *others]))
    assert error.reason is Reason.BASE_MODEL_MISMATCH
    assert "x 99 in the file" in error.message


def test_keys_that_nothing_reads_are_named(engine: DiffusersEngine, some: list[Change], tmp_path: Path) -> None:
    error = refused(engine, tmp_path / "a.safetensors", {**parts(some), "lora_unet_odd.thing": torch.ones(1)})
    assert error.reason is Reason.UNSUPPORTED_FORMAT
    assert "lora_unet_odd.thing" in error.message


def test_files_that_were_refused_leave_nothing_in_memory(
    engine: DiffusersEngine, some: list[Change], tmp_path: Path
) -> None:
    first = some[0]
    large = Change(first.component, first.module, torch.randn(128, 2**16), torch.randn(first.up.shape[0], 128), 4.0)
    path, size_bytes = tmp_path / "a.safetensors", 2**25

    refused(engine, path, parts([large]))
    before = _own_bytes()
    for _ in range(8):
        with pytest.raises(FactsError):
            read(engine, path)
    assert path.stat().st_size > size_bytes
    assert _own_bytes() - before < size_bytes


def _own_bytes() -> int:
    """Memory that is this process's own."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("RssAnon:")[2].split()[0]) * 1024


def test_an_alpha_of_zero_is_no_adapter(engine: DiffusersEngine, some: list[Change], tmp_path: Path) -> None:
    name = tiny.kohya_name(some[0].component, some[0].module)
    error = refused(engine, tmp_path / "a.safetensors", {**parts(some), f"{name}.alpha": torch.tensor(0.0)})
    assert error.reason is Reason.INVALID_WEIGHTS
    assert "alpha is 0" in error.message


@pytest.mark.parametrize("alpha", [1e38, -1e9, 24_001.0])
def test_an_alpha_that_no_dtype_can_apply_is_refused(
    alpha: float, engine: DiffusersEngine, some: list[Change], tmp_path: Path
) -> None:
    name = tiny.kohya_name(some[0].component, some[0].module)
    odd = torch.tensor(alpha, dtype=torch.float64)
    error = refused(engine, tmp_path / "a.safetensors", {**parts(some), f"{name}.alpha": odd})
    assert error.reason is Reason.INVALID_WEIGHTS


def test_a_dora_of_other_lengths_is_refused(engine: DiffusersEngine, some: list[Change], tmp_path: Path) -> None:
    name = tiny.kohya_name(some[0].component, some[0].module)
    error = refused(engine, tmp_path / "a.safetensors", {**parts(some), f"{name}.dora_scale": torch.ones(1, 4)})
    assert error.reason is Reason.INVALID_WEIGHTS
    assert "dora_scale" in error.message


def test_peft_weights_without_their_configuration_are_not_guessed(
    engine: DiffusersEngine, some: list[Change], tmp_path: Path
) -> None:
    path = tiny.write_peft(tmp_path / "a.safetensors", some)
    path.with_name("adapter_config.json").unlink()
    with pytest.raises(AdapterError) as error:
        read(engine, path)
    assert error.value.reason is Reason.UNSUPPORTED_FORMAT
    assert "adapter_config.json" in error.value.message


def test_the_report_of_the_base_judges_as_the_base_does(
    loaded: tuple[DiffusersEngine, BaseInfo], reference: Any, tmp_path: Path
) -> None:
    """What the operator decides from the report is what the pod finds out."""
    _, info = loaded
    changes = tiny.make_changes(reference, tiny.attention_modules(reference) + tiny.convolutions(reference))
    fits = tiny.write_kohya(tmp_path / "a.safetensors", changes)
    check_fits(read_facts(read_header(fits)), json.loads(json.dumps(info.modules)) and info.modules)
    save_file(renamed(parts(changes), "attn2", "attn3"), tmp_path / "b.safetensors")
    with pytest.raises(FactsError):
        check_fits(read_facts(read_header(tmp_path / "b.safetensors")), info.modules)


def test_an_image_that_is_not_finite_is_an_error(engine: DiffusersEngine, some: list[Change], tmp_path: Path) -> None:
    huge = [Change(c.component, c.module, c.down * 1e30, c.up * 1e30, c.alpha) for c in some]
    adapter = read(engine, tiny.write_kohya(tmp_path / "a.safetensors", huge))
    with pytest.raises(AdapterError) as error:
        image(engine, (adapter, 10.0))
    assert error.value.reason is Reason.INVALID_WEIGHTS


def test_a_request_can_be_given_up_between_steps(engine: DiffusersEngine) -> None:
    asked = []

    def stop() -> bool:
        asked.append(True)
        return len(asked) > 2

    with pytest.raises(Stopped):
        rendered(engine, RenderRequest(recipe(steps=50), stop=stop))
    assert len(asked) == 3


def test_a_forgotten_adapter_leaves_the_device(engine: DiffusersEngine, some: list[Change], tmp_path: Path) -> None:
    adapter = read(engine, tiny.write_kohya(tmp_path / "a.safetensors", some))
    image(engine, (adapter, 1.0), steps=1)
    assert adapter.identity in engine.on_device()
    engine.forget(adapter.identity)
    assert adapter.identity not in engine.on_device()
    assert engine.parts.board.is_bare
