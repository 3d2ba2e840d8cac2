"""Where a key of an adapter file belongs: which layout it is of, which part of which module it names."""

import re
from functools import lru_cache
from typing import Final, NamedTuple

from lorapool_api.kinds.adapter import AdapterFormat
from lorapool_api.lora.layouts.originals import is_original
from lorapool_api.lora.layouts.sgm import diffusers_name

UNET: Final = "unet"
TRANSFORMER: Final = "transformer"
TEXT_ENCODER: Final = "text_encoder"
TEXT_ENCODER_2: Final = "text_encoder_2"
TEXT_ENCODER_3: Final = "text_encoder_3"


class ParsedKey(NamedTuple):
    """What one key names.

    Attributes:
        component: unet also where the key does not tell a UNet from a transformer; the base then decides.
        module: with `_` for `.` as kohya writes it, so that all layouts compare; in diffusers' names, but for the
            modules of the original transformers, of which `lorapool_api.lora.layouts.originals` says what they are.
    """

    layout: AdapterFormat
    component: str
    module: str
    part: str


# Of kohya's trainer, and `lycoris_` of LyCORIS' own wrapper around any model.
_FLAT_PREFIXES: Final = {
    "lora_unet_": UNET,
    "lora_transformer_": TRANSFORMER,
    "lycoris_": UNET,
    "lora_te1_": TEXT_ENCODER,
    "lora_te2_": TEXT_ENCODER_2,
    "lora_te3_": TEXT_ENCODER_3,
    "lora_te_": TEXT_ENCODER,
}
_PEFT_PREFIX: Final = "base_model.model."
_DOTTED_PREFIXES: Final = {
    "unet.": UNET,
    "transformer.": TRANSFORMER,
    "diffusion_model.": UNET,
    "conditional_transformer.": TRANSFORMER,
    "text_encoder.": TEXT_ENCODER,
    "text_encoder_2.": TEXT_ENCODER_2,
    "text_encoder_3.": TEXT_ENCODER_3,
    # Of ComfyUI.
    "text_encoders.clip_l.transformer.": TEXT_ENCODER,
    "text_encoders.clip_g.transformer.": TEXT_ENCODER_2,
    "text_encoders.t5xxl.transformer.": TEXT_ENCODER_3,
}
# What follows a module's name, and the part that it stands for.
PARTS: Final = {
    "lora_down.weight": "down",
    "lora_up.weight": "up",
    "lora_mid.weight": "mid",
    "lora_A.weight": "down",
    "lora_B.weight": "up",
    "lora_A.default.weight": "down",
    "lora_B.default.weight": "up",
    "lora.down.weight": "down",
    "lora.up.weight": "up",
    "lora_linear_layer.down.weight": "down",
    "lora_linear_layer.up.weight": "up",
    "alpha": "alpha",
    "lora.alpha": "alpha",
    "dora_scale": "dora_scale",
    "lora_magnitude_vector": "magnitude",
    "lora_magnitude_vector.weight": "magnitude",
    "lora_magnitude_vector.default.weight": "magnitude",
    **{name: name for name in ("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b", "hada_t1", "hada_t2")},
    **{name: name for name in ("lokr_w1", "lokr_w1_a", "lokr_w1_b", "lokr_w2", "lokr_w2_a", "lokr_w2_b", "lokr_t2")},
    **{f"{name}.weight": name for name in ("a1", "a2", "b1", "b2")},
    "oft_blocks": "oft_blocks",
    "rescale": "rescale",
    "oft_R.weight": "oft_vectors",
    "boft_R": "boft_blocks",
    "boft_s": "boft_scale",
    "vera_lambda_b": "vera_lambda_b",
    "vera_lambda_d": "vera_lambda_d",
    "ia3_l": "ia3_l",
    "diff": "diff",
    "diff_b": "diff_b",
}
SHARED: Final = {"base_model.vera_A": "vera_a", "base_model.vera_B": "vera_b"}
"""Parts that PEFT writes once for all modules of a file."""
_PART: Final = re.compile(
    r"^(?P<module>.+?)\.(?P<part>" + "|".join(re.escape(p) for p in sorted(PARTS, key=len, reverse=True)) + r")$"
)
# diffusers before 0.20, in a UNet and in a text encoder: `...attn1.processor.to_q_lora.down.weight` and
# `...self_attn.to_q_lora.down.weight`.
_OLD_ATTENTION: Final = re.compile(
    r"^(?P<attention>.+?)(?P<processor>\.processor)?\.to_(?P<projection>q|k|v|out)_lora\.(?P<part>down|up)\.weight$"
)
_OLD_NAMES: Final = {"out": "to_out.0"}
# Files for Flux of the trainer of XLabs hang on its attention processors.
_XLABS: Final = re.compile(
    r"^(?:diffusion_model\.)?(?P<block>(?:double|single)_blocks\.\d+)\.processor\."
    r"(?P<fused>qkv|proj)_lora(?P<stream>[12]?)\.(?P<part>down|up)\.weight$"
)
_XLABS_MODULES: Final = {
    ("qkv", "1"): "img_attn_qkv",
    ("proj", "1"): "img_attn_proj",
    ("qkv", "2"): "txt_attn_qkv",
    ("proj", "2"): "txt_attn_proj",
    ("qkv", ""): "attn_qkv",
    ("proj", ""): "linear2",
}


def flat_name(module: str) -> str:
    """A module's name as all layouts can say it: `_` for `.`, without the prefix that only some CLIP classes have."""
    return module.replace(".", "_").removeprefix("text_model_")


# Adapters of one base mostly have the same keys: those of some ten layouts of SDXL fit, in a few megabytes.
@lru_cache(maxsize=1 << 14)
def parse_key(key: str) -> ParsedKey | None:
    """What the key names, or None where no layout has it."""
    if xlabs := _XLABS.match(key):
        name = _XLABS_MODULES.get((xlabs["fused"], xlabs["stream"]))
        block = xlabs["block"].replace(".", "_")
        return ParsedKey(AdapterFormat.DIFFUSERS, TRANSFORMER, f"{block}_{name}", xlabs["part"]) if name else None
    if old := _OLD_ATTENTION.match(key):
        return _dotted(AdapterFormat.DIFFUSERS, f"{old['attention']}.{_old_projection(old)}", old["part"])
    match = _PART.match(key)
    if match is None:
        return None
    name, part = match["module"], PARTS[match["part"]]
    for prefix, component in _FLAT_PREFIXES.items():
        if name.startswith(prefix):
            return _parsed(AdapterFormat.KOHYA, component, name.removeprefix(prefix), part)
    if name.startswith(_PEFT_PREFIX):
        return _dotted(AdapterFormat.PEFT, name.removeprefix(_PEFT_PREFIX), part)
    return _dotted(AdapterFormat.DIFFUSERS, name, part)


def _old_projection(old: re.Match[str]) -> str:
    if old["processor"]:
        return _OLD_NAMES.get(old["projection"], f"to_{old['projection']}")
    return f"{old['projection']}_proj"


def _dotted(layout: AdapterFormat, name: str, part: str) -> ParsedKey:
    for prefix, component in _DOTTED_PREFIXES.items():
        if name.startswith(prefix):
            return _parsed(layout, component, name.removeprefix(prefix).replace(".", "_"), part)
    return _parsed(layout, UNET, name.replace(".", "_"), part)


def _parsed(layout: AdapterFormat, component: str, module: str, part: str) -> ParsedKey:
    if component == UNET:
        return ParsedKey(layout, TRANSFORMER if is_original(module) else UNET, diffusers_name(module), part)
    return ParsedKey(layout, component, module, part)
