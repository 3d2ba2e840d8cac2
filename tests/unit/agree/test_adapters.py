"""What the operator says of a file from its header alone is what the pod finds when it reads the file."""

from pathlib import Path

import pytest
import torch
from tests.fuzz.corpus import Seed, boards, seeds
from tests.fuzz.judge import MAX_RANK

from lorapool_api.lora.facts_json import facts_in
from lorapool_api.lora.fit import check_fits, check_rank
from lorapool_api.lora.header import LENGTH_BYTES, FactsError
from lorapool_api.wire.state import BaseReport
from lorapool_operator.sources import header_work
from lorapool_runtime.adapters.check import check_file
from lorapool_runtime.adapters.file import AdapterFile, Sidecars
from lorapool_runtime.engine.diffusers.layers.switchboard import Switchboard
from lorapool_runtime.engine.diffusers.weights.read import read_adapter
from lorapool_runtime.errors import AdapterError

SEEDS = {seed.name: seed for seed in seeds()}
SERVED = "served"
MISNAMED = {
    "another module": ("attn2", "attn7"),
    "a key that nothing reads": ("alpha", "beta"),
    "another encoder": ("lora_te_", "lora_te3_"),
    "fewer rows": ("single_blocks_0_linear1", "single_blocks_0_linear2"),
    "of another transformer": ("double_blocks_0_img_attn_qkv", "layers_0_attention_qkv"),
}


def by_header(content: bytes, report: BaseReport) -> str:
    """The operator's verdict: it has the header, and what a pod has reported of the base."""
    end = LENGTH_BYTES + int.from_bytes(content[:LENGTH_BYTES], "little")
    answer = header_work.answer(header_work.request(content[LENGTH_BYTES:end], len(content)))
    try:
        facts = facts_in(answer)
        check_rank(facts, MAX_RANK)
        check_fits(facts, report.modules)
    except FactsError as error:
        return error.reason
    return SERVED


def by_reading(content: bytes, board: Switchboard, seed: Seed, folder: Path) -> str:
    """What becomes of the file in a pod with that base."""
    path = folder / "a.safetensors"
    path.write_bytes(content)
    try:
        facts = check_file(path, MAX_RANK)
        check_fits(facts, board.modules())
        beside = Sidecars(seed.peft_config, seed.embeddings)
        read_adapter(AdapterFile(path, "0" * 64, facts, beside), board, torch.float32, widths={"text_encoder": 8})
    except (AdapterError, FactsError) as error:
        return error.reason
    return SERVED


@pytest.fixture(scope="module")
def bases() -> dict[str, tuple[Switchboard, BaseReport]]:
    """Each with its report, as it comes over the wire."""
    reported = {name: BaseReport(revision="main", modules=board.modules()) for name, board in boards().items()}
    wire = {name: BaseReport.model_validate_json(report.model_dump_json()) for name, report in reported.items()}
    return {name: (board, wire[name]) for name, board in boards().items()}


@pytest.mark.parametrize("name", SEEDS)
def test_a_file_of_each_kind_is_judged_alike_in_each_base(
    name: str, bases: dict[str, tuple[Switchboard, BaseReport]], tmp_path: Path
) -> None:
    seed = SEEDS[name]
    found = {base: by_reading(seed.content, board, seed, tmp_path) for base, (board, _) in bases.items()}
    assert found == {base: by_header(seed.content, report) for base, (_, report) in bases.items()}
    assert [base for base, verdict in found.items() if verdict == SERVED] == [seed.base]


@pytest.mark.parametrize("change", MISNAMED)
@pytest.mark.parametrize("name", SEEDS)
def test_a_file_with_other_names_is_judged_alike(
    name: str, change: str, bases: dict[str, tuple[Switchboard, BaseReport]], tmp_path: Path
) -> None:
    seed = SEEDS[name]
    content = renamed(seed.content, *MISNAMED[change])
    for board, report in bases.values():
        assert by_reading(content, board, seed, tmp_path) == by_header(content, report)


def renamed(content: bytes, old: str, new: str) -> bytes:
    """The file with other names in its header."""
    end = LENGTH_BYTES + int.from_bytes(content[:LENGTH_BYTES], "little")
    header = content[LENGTH_BYTES:end].rstrip(b" ").replace(old.encode(), new.encode())
    return len(header).to_bytes(LENGTH_BYTES, "little") + header + content[end:]
