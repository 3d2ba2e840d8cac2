"""The trained small base of this repository."""

from pathlib import Path
from typing import Any, Final

import torch

SMALL: Final = Path("models/weights/shapes-xl")
SMALL_UNET: Final = SMALL / "unet"


def arguments(rows: int, side: int) -> dict[str, Any]:
    """What the small base's denoiser is called with: so many rows, of so many positions a side."""
    generator = torch.Generator().manual_seed(0)

    def random(*size: int) -> torch.Tensor:
        return torch.randn(size, generator=generator)

    added = {"text_embeds": random(rows, 64), "time_ids": random(rows, 6)}
    return {
        "sample": random(rows, 4, side, side),
        "timestep": torch.tensor(500.0),
        "encoder_hidden_states": random(rows, 77, 96),
        "added_cond_kwargs": added,
        "return_dict": False,
    }
