"""Valid files of every format for a base of a few small modules: what mutations start from."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import torch
from safetensors.torch import save
from torch import nn

from lorapool_runtime.engine.diffusers.layers.switchboard import Switchboard
from tests.runtime.networks import MAKERS, Made, Shape

RANK: Final = 2
DTYPES: Final = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
ATTENTION: Final = "down_blocks.1.attentions.0.transformer_blocks.0.attn2"
UNET: Final[dict[str, Shape]] = {f"{ATTENTION}.to_k": (12, 8), "down_blocks.0.resnets.0.conv1": (8, 12, 3, 3)}
TEXT: Final[dict[str, Shape]] = {"encoder.layers.0.self_attn.q_proj": (8, 8)}
FLUX: Final[dict[str, Shape]] = {
    **{f"transformer_blocks.0.attn.{name}": (6, 6) for name in ("to_q", "to_k", "to_v")},
    **{f"single_transformer_blocks.0.attn.{name}": (6, 6) for name in ("to_q", "to_k", "to_v")},
    "single_transformer_blocks.0.proj_mlp": (24, 6),
    "norm_out.linear": (12, 6),
}
FUSED: Final[dict[str, Shape]] = {
    "double_blocks_0_img_attn_qkv": (18, 6),
    "single_blocks_0_linear1": (42, 6),
    "final_layer_adaLN_modulation_1": (12, 6),
}


@dataclass(frozen=True)
class Seed:
    """A valid file, the base that it is for, and what lies beside it."""

    name: str
    content: bytes
    base: str
    peft_config: bytes | None = None
    embeddings: bytes | None = None


def boards() -> dict[str, Switchboard]:
    return {
        "unet": Switchboard({"unet": _model(UNET), "text_encoder": _model(TEXT)}),
        "flux": Switchboard({"transformer": _model(FLUX)}),
    }


def _model(shapes: dict[str, Shape]) -> nn.Module:
    root = nn.Module()
    for name, shape in shapes.items():
        owner = root
        *path, last = name.split(".")
        for step in path:
            if not hasattr(owner, step):
                owner.add_module(step, nn.Module())
            owner = owner.get_submodule(step)
        module: Any = nn.Linear(shape[1], shape[0])
        if len(shape) == 4:
            module = nn.Conv2d(shape[1], shape[0], (shape[2], shape[3]), padding="same")
        owner.add_module(last, module.requires_grad_(False))
    return root


def seeds() -> list[Seed]:
    """One of every kind; always the same bytes."""
    return [*_kohya(), *_fused(), *_dotted(), *_with_words()]


def _kohya() -> Iterator[Seed]:
    for i, (kind, maker) in enumerate([*MAKERS.items(), ("full", _full)]):
        file: Made = {}
        for prefix, shapes in (("lora_unet_", UNET), ("lora_te_text_model_", TEXT)):
            for name, shape in shapes.items():
                made = maker(shape, RANK, torch.Generator().manual_seed(i))
                file |= {f"{prefix}{name.replace('.', '_')}.{part}": tensor for part, tensor in made.items()}
        yield Seed(f"kohya {kind}", _save(file, DTYPES[i % len(DTYPES)], {"ss_network_dim": "2"}), "unet")


def _fused() -> Iterator[Seed]:
    for kind in ("lora", "loha", "lokr", "dora"):
        file: Made = {}
        for name, shape in FUSED.items():
            made = MAKERS[kind](shape, RANK, torch.Generator().manual_seed(1))
            file |= {f"lora_unet_{name}.{part}": tensor for part, tensor in made.items()}
        yield Seed(f"flux {kind}", _save(file), "flux")


def _dotted() -> Iterator[Seed]:
    config = {"peft_type": "LORA", "r": RANK, "lora_alpha": 3, "alpha_pattern": {"to_k": 1}}
    pairs = {name: _pair(shape) for name, shape in UNET.items()}
    new = {f"unet.{n}.lora_{side}.weight": t for n, pair in pairs.items() for side, t in zip("AB", pair, strict=True)}
    metadata = {"lora_adapter_metadata": json.dumps({f"unet.{k}": v for k, v in config.items()})}
    yield Seed("diffusers", _save(new, metadata=metadata), "unet")
    peft = {f"base_model.model.{k.removeprefix('unet.')}": t for k, t in new.items()}
    yield Seed("peft", _save(peft, torch.float16), "unet", peft_config=json.dumps(config).encode())
    down, up = pairs[f"{ATTENTION}.to_k"]
    old = {f"{ATTENTION}.processor.to_k_lora.{side}.weight": t for side, t in (("down", down), ("up", up))}
    yield Seed("old diffusers", _save(old), "unet")
    factors = {f"base_model.model.{ATTENTION}.to_k.ia3_l": torch.full((12, 1), 1.25)}
    yield Seed("peft ia3", _save(factors), "unet", peft_config=b'{"peft_type": "IA3"}')
    oft = {"peft_type": "OFT", "oft_block_size": 4, "use_cayley_neumann": True, "num_cayley_neumann_terms": 5}
    vectors = {f"base_model.model.{ATTENTION}.to_k.oft_R.weight": torch.full((2, 6), 0.125)}
    yield Seed("peft oft", _save(vectors), "unet", peft_config=json.dumps(oft | {"peft_version": "0.21.0"}).encode())
    stages = {f"base_model.model.{ATTENTION}.to_k.boft_R": torch.arange(64.0).reshape(2, 2, 4, 4) / 64}
    stages[f"base_model.model.{ATTENTION}.to_k.boft_s"] = torch.full((12, 1), 1.25)
    yield Seed("peft boft", _save(stages), "unet", peft_config=b'{"peft_type": "BOFT"}')
    shared = {"base_model.vera_A": torch.full((2, 10), 0.25), "base_model.vera_B": torch.full((14, 2), 0.5)}
    factors = {"vera_lambda_b": torch.full((12,), 0.5), "vera_lambda_d": torch.full((2,), 0.75)}
    vera = shared | {f"base_model.model.{ATTENTION}.to_k.{part}": tensor for part, tensor in factors.items()}
    yield Seed("peft vera", _save(vera), "unet", peft_config=b'{"peft_type": "VERA", "r": 2}')


def _with_words() -> Iterator[Seed]:
    rows = {"clip_l": torch.ones(2, 8)}
    (seed,) = (s for s in _dotted() if s.name == "diffusers")
    yield Seed("words", seed.content, "unet", embeddings=save(rows))


def _full(shape: Shape, rank: int, dice: torch.Generator) -> Made:
    return {"diff": torch.randn(shape, generator=dice), "diff_b": torch.randn(shape[0], generator=dice)}


def _pair(shape: Shape) -> tuple[torch.Tensor, torch.Tensor]:
    made = MAKERS["lora"](shape, RANK, torch.Generator().manual_seed(2))
    return made["lora_down.weight"], made["lora_up.weight"]


def _save(file: Made, dtype: torch.dtype = torch.float32, metadata: dict[str, str] | None = None) -> bytes:
    return save({k: t.to(dtype).contiguous() for k, t in file.items()}, metadata)
