"""Files that LyCORIS writes, drawn by the engine and by LyCORIS itself on the same pipeline; what it writes besides."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from lycoris import LycorisNetwork, create_lycoris
from tests.runtime.ask import distance, image, read, reference_image

from lorapool_api.kinds.conditions import Reason
from lorapool_api.lora.facts import Network, read_facts
from lorapool_api.lora.header import FactsError
from lorapool_runtime.adapters.check import read_header
from lorapool_runtime.engine.diffusers.engine import DiffusersEngine

ROUNDING = 1
SEEN = 25


@dataclass(frozen=True)
class Made:
    """How LyCORIS is asked, how strong its random weights are, and the networks that the file holds."""

    algo: str
    std: float
    networks: frozenset[Network]
    options: dict[str, Any] = field(default_factory=dict)
    prefix: str = "lora_unet"


def _made(algo: str, std: float, *networks: Network, prefix: str = "lora_unet", **options: Any) -> Made:
    return Made(algo, std, frozenset(networks), options, prefix)


FILES = {
    "locon": _made("locon", 0.1, Network.LORA),
    "locon, mid": _made("locon", 0.2, Network.LORA, use_tucker=True),
    "locon, other ranks for convolutions": _made("locon", 0.1, Network.LORA, conv_dim=2, conv_alpha=1),
    "dora": _made("locon", 0.1, Network.DORA, dora_wd=True),
    "dora of inputs": _made("locon", 0.1, Network.DORA, dora_wd=True, wd_on_output=False),
    "loha": _made("loha", 0.28, Network.LOHA),
    "loha, core": _made("loha", 0.27, Network.LOHA, use_tucker=True),
    "loha with lengths": _made("loha", 0.4, Network.LOHA, dora_wd=True),
    "lokr": _made("lokr", 0.25, Network.LOKR),
    "lokr, both factors, core": _made("lokr", 0.4, Network.LOKR, decompose_both=True, use_tucker=True, factor=4),
    "lokr, full factors": _made("lokr", 0.15, Network.LOKR, full_matrix=True),
    "lokr by LyCORIS' own wrapper": _made("lokr", 0.25, Network.LOKR, prefix="lycoris"),
    "full": _made("full", 0.02, Network.FULL),
    "glora": _made("glora", 0.1, Network.GLORA),
    "oft": _made("diag-oft", 0.3, Network.OFT),
    "oft, bounded and rescaled": _made("diag-oft", 0.3, Network.OFT, constraint=0.01, rescaled=True),
    "boft": _made("boft", 0.2, Network.BOFT),
    "boft, rescaled": _made("boft", 0.2, Network.BOFT, rescaled=True),
}
REFUSED = {
    "norms": _made("locon", 0.1, train_norm=True),
    "ia3": _made("ia3", 0.1),
}


@pytest.fixture(autouse=True)
def prefix_of_lycoris() -> Iterator[None]:
    before = LycorisNetwork.LORA_PREFIX
    yield
    LycorisNetwork.LORA_PREFIX = before


def put_on(pipeline: Any, made: Made, path: Path) -> Path:
    """Put a random network on the UNet, as LyCORIS applies it, and save it as LyCORIS does."""
    torch.manual_seed(1)
    LycorisNetwork.LORA_PREFIX = made.prefix
    options = {"linear_dim": 4, "linear_alpha": 3, **made.options}
    network = create_lycoris(pipeline.unet, 1.0, algo=made.algo, warn_on_unmatched=False, **options)
    network.apply_to()
    network.eval()
    for name, parameter in network.named_parameters():
        noise = torch.randn_like(parameter) * made.std
        parameter.data = parameter.data * (1 + noise) if name.endswith("dora_scale") else parameter.data + noise
    network.save_weights(str(path), None, None)
    return path


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_lycoris_draws_as_lycoris_does(
    name: str, engine: DiffusersEngine, reference: Any, tmp_path: Path
) -> None:
    base = reference_image(reference)
    path = put_on(reference, FILES[name], tmp_path / "a.safetensors")
    with torch.no_grad():
        wanted = reference_image(reference)

    assert read_facts(read_header(path)).networks == FILES[name].networks
    assert distance(wanted, base) > SEEN
    assert distance(image(engine, (read(engine, path), 1.0)), wanted) <= ROUNDING
    assert distance(image(engine), base) <= ROUNDING


def test_a_dylora_is_read_as_the_lora_of_its_full_rank(engine: DiffusersEngine, reference: Any, tmp_path: Path) -> None:
    """LyCORIS draws with another rank at each step of its training, and reads no file of it back."""
    base = reference_image(reference)
    path = put_on(reference, _made("dylora", 0.1), tmp_path / "a.safetensors")
    assert read_facts(read_header(path)).networks == {Network.LORA}
    assert distance(image(engine, (read(engine, path), 1.0)), base) > SEEN


@pytest.mark.parametrize("name", REFUSED)
def test_what_it_writes_besides_is_refused_by_name(name: str, reference: Any, tmp_path: Path) -> None:
    path = put_on(reference, REFUSED[name], tmp_path / "a.safetensors")
    with pytest.raises(FactsError) as refusal:
        read_facts(read_header(path))
    assert refusal.value.reason in (Reason.UNSUPPORTED_FORMAT, Reason.NOT_A_LORA)
    assert "lora_unet_" in refusal.value.message
