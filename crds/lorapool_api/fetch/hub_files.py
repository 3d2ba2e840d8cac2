"""Which file of a repository holds an adapter's weights, where nobody says, and what lies beside it."""

import re
from collections.abc import Collection, Iterable
from pathlib import PurePosixPath
from typing import Final

PEFT_CONFIG: Final = "adapter_config.json"
EMBEDDINGS: Final = "embeddings.safetensors"
DEFAULT_FILE: Final = "pytorch_lora_weights.safetensors"
_EMBEDDING: Final = re.compile(r"(^|[-_./])(embeddings?|emb)\.safetensors$", re.IGNORECASE)


def is_embedding(name: str) -> bool:
    """Whether a file's name says that it holds embeddings, and no weights of an adapter."""
    return _EMBEDDING.search(name) is not None


def choose_file(files: Iterable[str], wanted: str | None) -> str | None:
    """The named file; else the usual name, else the first weights file by name that is not an embedding."""
    names = sorted(files)
    if wanted is not None:
        return wanted if wanted in names else None
    if DEFAULT_FILE in names:
        return DEFAULT_FILE
    return next((n for n in names if n.endswith(".safetensors") and not is_embedding(n)), None)


def is_alone(name: str, files: Collection[str]) -> bool:
    """Whether nothing that may belong to the file lies in its folder, of all files of its repository."""
    folder = PurePosixPath(name).parent
    return not any(str(folder / beside) in files for beside in (PEFT_CONFIG, EMBEDDINGS))
