"""A UNet whose blocks get what T2I-Adapters (arXiv:2302.08453) make of pictures, for one run."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from diffusers import T2IAdapter

from lorapool_runtime.engine.passes import ControlPicture
from lorapool_runtime.errors import RecipeError


@contextmanager
def adding(unet: Any, uses: Sequence[tuple[ControlPicture, T2IAdapter]]) -> Iterator[None]:
    """The sum of what these make, each at its scale, is added in each forward.

    Raises: RecipeError for a size that one cannot read.
    """
    if not uses:
        yield
        return
    each = [_states(control, net) for control, net in uses]
    states = [torch.stack(same).sum(dim=0) for same in zip(*each, strict=True)]

    def hook(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        rows = len(args[0] if args else kwargs["sample"])
        # A list of its own for each forward, which takes from it.
        given = [state.expand(rows, -1, -1, -1) for state in states]
        return args, {**kwargs, "down_intrablock_additional_residuals": given}

    handle = unet.register_forward_pre_hook(hook, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


@torch.inference_mode()
def _states(control: ControlPicture, net: Any) -> list[torch.Tensor]:
    multiple = net.downscale_factor
    if control.image.width % multiple or control.image.height % multiple:
        raise RecipeError(f"with the control {control.name} width and height are multiples of {multiple}")
    picture = control.image.convert("L" if net.config.in_channels == 1 else "RGB")
    pixels = torch.from_numpy(np.array(picture, dtype=np.float32) / 255)
    pixels = pixels[None, None] if pixels.dim() == 2 else pixels.permute(2, 0, 1)[None]
    first = next(net.parameters())
    return [state * control.scale for state in net(pixels.to(first.device, first.dtype))]
