"""Tokenizers and text encoders of the families whose prompts language models read, tiny and with random weights."""

import json
import string
from pathlib import Path
from typing import Any, Final

from tokenizers import Tokenizer, decoders, pre_tokenizers, processors
from tokenizers.models import BPE
from transformers import (
    Gemma2Config,
    Gemma2Model,
    Mistral3Config,
    Mistral3ForConditionalGeneration,
    MistralConfig,
    PixtralVisionConfig,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen3Config,
    Qwen3ForCausalLM,
    Qwen3Model,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
)

WIDTH: Final = 16
MARKS: Final = {
    "image_token_id": "<|image_pad|>",
    "video_token_id": "<|video_pad|>",
    "vision_start_token_id": "<|vision_start|>",
    "vision_end_token_id": "<|vision_end|>",
}
"""Tokens about pictures, by what the configuration of a text encoder calls them."""
_PAD, _START, _END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
# Messages hold their text as it is, or in a list of parts.
_TEMPLATE: Final = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.content is string %}{{ m.content }}{% else %}{% for p in m.content %}{{ p.text }}{% endfor %}{% endif %}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def make_tokenizer(side: str = "right", *, begins: bool = False) -> Any:
    """One token per byte, with the marks of a chat. `begins`: each text has a mark before it, an empty one too."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate([*letters, _PAD, _START, _END])}
    made = Tokenizer(BPE(vocab=vocabulary, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    if begins:
        marks = [(_START, vocabulary[_START])]
        made.post_processor = processors.TemplateProcessing(single=f"{_START} $A", special_tokens=marks)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=made,
        pad_token=_PAD,
        eos_token=_END,
        additional_special_tokens=[_START],
        padding_side=side,
        model_max_length=2048,
    )
    tokenizer.chat_template = _TEMPLATE
    assert len(tokenizer) == len(vocabulary) > len(string.printable)
    return tokenizer


def make_marked_tokenizer() -> tuple[Any, dict[str, int]]:
    """A tokenizer that knows the marks of pictures, and their ids."""
    tokenizer = make_tokenizer()
    tokenizer.add_tokens(list(MARKS.values()), special_tokens=True)
    return tokenizer, {name: tokenizer.convert_tokens_to_ids(token) for name, token in MARKS.items()}


def as_repositories_name_it(folder: Path, **processors: str) -> Path:
    """The classes of the processors in a pipeline's index: those who write repositories have torchvision."""
    path = folder / "model_index.json"
    named = {name: ["transformers", kind] for name, kind in processors.items()}
    path.write_text(json.dumps(json.loads(path.read_text()) | named))
    return folder


def decoder_options(vocabulary: int, layers: int) -> dict[str, Any]:
    return {
        "vocab_size": vocabulary,
        "hidden_size": WIDTH,
        "intermediate_size": 24,
        "num_hidden_layers": layers,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "head_dim": WIDTH // 2,
        "pad_token_id": 0,
        "bos_token_id": 0,
        "eos_token_id": 0,
    }


def make_qwen3(vocabulary: int, layers: int = 3) -> Any:
    return Qwen3ForCausalLM(Qwen3Config(**decoder_options(vocabulary, layers)))


def make_qwen3_model(vocabulary: int, layers: int = 3) -> Any:
    return Qwen3Model(Qwen3Config(**decoder_options(vocabulary, layers)))


def make_gemma2(vocabulary: int) -> Any:
    return Gemma2Model(Gemma2Config(**decoder_options(vocabulary, layers=2)))


def make_mistral3(vocabulary: int, layers: int) -> Any:
    eyes = PixtralVisionConfig(
        hidden_size=WIDTH,
        intermediate_size=24,
        num_hidden_layers=1,
        num_attention_heads=2,
        head_dim=WIDTH // 2,
        image_size=28,
        patch_size=14,
    )
    text = MistralConfig(**decoder_options(vocabulary, layers))
    return Mistral3ForConditionalGeneration(
        Mistral3Config(text_config=text, vision_config=eyes, image_token_index=1, spatial_merge_size=1)
    )


def make_qwen25_vl(vocabulary: int, **marks: int) -> Any:
    """`marks`: ids of the tokens about pictures, where it is shown some."""
    text = decoder_options(vocabulary, layers=2) | {
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [1, 1, 2]}
    }
    eyes = {
        "depth": 1,
        "hidden_size": WIDTH,
        "intermediate_size": 24,
        "num_heads": 2,
        "out_hidden_size": WIDTH,
    }
    ids = {"image_token_id": 1, "video_token_id": 2, "vision_start_token_id": 3, "vision_end_token_id": 4} | marks
    config = Qwen2_5_VLConfig(text_config=text, vision_config=eyes, **ids)
    return Qwen2_5_VLForConditionalGeneration(config)


def make_qwen3_vl(vocabulary: int, layers: int = 2, **marks: int) -> Any:
    """`marks`: ids of the tokens about pictures, where it is shown some."""
    words = decoder_options(vocabulary, layers) | {
        "rope_parameters": {"rope_type": "default", "rope_theta": 5e6, "mrope_section": [2, 1, 1]}
    }
    eyes = {
        "depth": 1,
        "hidden_size": WIDTH,
        "intermediate_size": 24,
        "num_heads": 2,
        "out_hidden_size": WIDTH,
        "num_position_embeddings": 16,
        "deepstack_visual_indexes": [0],
    }
    ids = {"image_token_id": 1, "video_token_id": 2, "vision_start_token_id": 3, "vision_end_token_id": 4} | marks
    config = Qwen3VLConfig(text_config=words, vision_config=eyes, **ids)
    return Qwen3VLForConditionalGeneration(config)
