"""What of torch's own choices decides how a picture is rounded. Exact, unless the pool says otherwise."""

from typing import Any

import torch

from lorapool_api.kinds.serving import Serving
from lorapool_api.kinds.speed.rounding import TorchOptions

_EXACT = TorchOptions()


def set_rounding(serving: Serving) -> None:
    """For all of this process."""
    options = serving.torch or _EXACT
    # The same request gives the same bytes: no choice of kernels by timing.
    torch.backends.cudnn.benchmark = not serving.deterministic
    torch.backends.cudnn.deterministic = serving.deterministic
    torch.backends.cudnn.allow_tf32 = options.allow_tf32
    matmul = torch.backends.cuda.matmul
    matmul.allow_tf32 = options.allow_tf32
    matmul.allow_fp16_reduced_precision_reduction = options.reduced_precision_reduction
    matmul.allow_bf16_reduced_precision_reduction = options.reduced_precision_reduction


def order_channels(pipeline: Any, serving: Serving) -> None:
    """Lay out the weights of convolutions as the pool says, before anything points to them."""
    if serving.torch is None or not serving.torch.channels_last:
        return
    for name in ("unet", "vae"):
        part = getattr(pipeline, name, None)
        if isinstance(part, torch.nn.Module):
            part.to(memory_format=torch.channels_last)
