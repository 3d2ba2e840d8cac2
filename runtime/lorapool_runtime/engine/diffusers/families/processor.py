"""What makes a prompt and its pictures into the inputs of a Qwen-VL text encoder, without torchvision."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from transformers import AutoTokenizer, Qwen2_5_VLProcessor, Qwen2VLProcessor, Qwen3VLProcessor
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.processing_utils import ProcessorMixin


class PicturesProcessor(Qwen2VLProcessor):  # type: ignore[misc] # transformers says no type of it
    """Qwen2-VL's processor for text and pictures alone: the part for videos is what needs torchvision."""

    # Its parts are those of the signature (`ProcessorMixin.get_attributes`).
    def __init__(self, image_processor: Any = None, tokenizer: Any = None, chat_template: Any = None) -> None:
        _begin(self, image_processor, tokenizer, chat_template)


class PicturesProcessor25(Qwen2_5_VLProcessor):  # type: ignore[misc] # transformers says no type of it
    """The same of Qwen2.5-VL."""

    def __init__(self, image_processor: Any = None, tokenizer: Any = None, chat_template: Any = None) -> None:
        _begin(self, image_processor, tokenizer, chat_template)


class PicturesProcessor3(Qwen3VLProcessor):  # type: ignore[misc] # transformers says no type of it
    """The same of Qwen3-VL."""

    def __init__(self, image_processor: Any = None, tokenizer: Any = None, chat_template: Any = None) -> None:
        _begin(self, image_processor, tokenizer, chat_template)
        for name, token in (("vision_start", "<|vision_start|>"), ("vision_end", "<|vision_end|>")):
            setattr(self, f"{name}_token", token)
            setattr(self, f"{name}_token_id", tokenizer.convert_tokens_to_ids(token))


PROCESSORS: Final[Mapping[str, type[ProcessorMixin]]] = {
    "Qwen2VLProcessor": PicturesProcessor,
    "Qwen2_5_VLProcessor": PicturesProcessor25,
    "Qwen3VLProcessor": PicturesProcessor3,
}
"""By the class of transformers that a `model_index.json` names."""


def _begin(processor: Any, image_processor: Any, tokenizer: Any, chat_template: Any) -> None:
    processor.image_token, processor.video_token = "<|image_pad|>", "<|video_pad|>"
    processor.image_token_id = tokenizer.convert_tokens_to_ids("<|image_pad|>")
    processor.video_token_id = tokenizer.convert_tokens_to_ids("<|video_pad|>")
    ProcessorMixin.__init__(processor, image_processor, tokenizer, chat_template=chat_template)


def load_processor(folder: Path, name: str) -> Any:
    """The processor of that class that a pipeline's folder configures. Pictures are scaled by Pillow.

    Raises: OSError, ValueError, KeyError: what is there cannot be read.
    """
    reading: Any = Qwen2VLImageProcessorPil
    tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
    kind: Any = PROCESSORS[name]
    images = reading.from_pretrained(str(folder), local_files_only=True)
    return kind(images, tokenizer, chat_template=_chat_template(folder) or tokenizer.chat_template)


def _chat_template(folder: Path) -> str | None:
    """Where older versions wrote it; newer ones write it for the tokenizer too."""
    path = folder / "chat_template.json"
    if not path.is_file():
        return None
    found = json.loads(path.read_text())
    return str(found["chat_template"])
