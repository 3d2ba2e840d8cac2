"""What makes a prompt and its pictures into the inputs of a Qwen-VL text encoder, without torchvision."""

from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, Qwen2VLProcessor
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.processing_utils import ProcessorMixin


class PicturesProcessor(Qwen2VLProcessor):  # type: ignore[misc] # transformers says no type of it
    """Qwen2-VL's processor for text and pictures alone: the part for videos is what needs torchvision."""

    # Its parts are those of the signature (`ProcessorMixin.get_attributes`).
    def __init__(self, image_processor: Any = None, tokenizer: Any = None, chat_template: Any = None) -> None:
        self.image_token, self.video_token = "<|image_pad|>", "<|video_pad|>"
        self.image_token_id = tokenizer.convert_tokens_to_ids(self.image_token)
        self.video_token_id = tokenizer.convert_tokens_to_ids(self.video_token)
        ProcessorMixin.__init__(self, image_processor, tokenizer, chat_template=chat_template)


def load_processor(folder: Path) -> PicturesProcessor:
    """The processor that a pipeline's folder `processor` configures. Pictures are scaled by Pillow.

    Raises: OSError, ValueError: what is there cannot be read.
    """
    reading: Any = Qwen2VLImageProcessorPil
    tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
    return PicturesProcessor(reading.from_pretrained(str(folder), local_files_only=True), tokenizer)
