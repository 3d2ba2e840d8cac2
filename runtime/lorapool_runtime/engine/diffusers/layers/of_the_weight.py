"""Changes that depend on the weight that they change, in float32.

GLoRA (arXiv:2306.07967): dW = W A + B, both of low rank. OFT (arXiv:2306.07280): W' = R W, R a rotation of each block
of rows. BOFT (arXiv:2311.06243): several such rotations one after the other, of rows further and further apart. All as
LyCORIS computes them, whose blocks turn the other way round for OFT than for BOFT. W is always the base's, whatever
else a stack adds, so that the order of a stack does not matter. PEFT's OFT turns the inputs, x R, before the weight:
W' = W R^T; its BOFT does so in stages, and multiplies the rows of that. IA3 (arXiv:2205.05638): W' = l * W along the
outputs or the inputs, as in PEFT, which has no strength: l counts as 1 + s (l - 1) here, and for the bias along with
the outputs.
"""

from collections.abc import Mapping

import torch

from lorapool_api.lora.networks import Network

Parts = Mapping[str, torch.Tensor]


def change_of(weight: torch.Tensor, network: Network, parts: Parts) -> torch.Tensor:
    """dW of a weight (out, in, ...) in float32, without alpha / rank, in its shape.

    Args:
        parts: in the shapes of `weights.parts`: GLoRA's four; of a rotation R - I, (blocks, size, size), (stages,
            blocks, size, size) or, of one block for all inputs, (1, size, size), and `rescale`, (out, 1, ...), what the
            rows of W' are multiplied with; of an IA3 `factors`, l - 1, (out, 1, ...) or (1, in, ...).

    Raises:
        ValueError: a network that does not depend on the weight.
    """
    parts = {name: part.float() for name, part in parts.items()}
    match network:
        case Network.GLORA:
            mixed = torch.einsum("oi...,ir->or...", weight, parts["a1"])
            added = (parts["b1"] @ parts["b2"]).view(weight.shape)
            return torch.einsum("or...,ri->oi...", mixed, parts["a2"]) + added
        case Network.OFT:
            return _rescaled(weight, _turned(weight, parts["rotation"].mT), parts)
        case Network.BOFT:
            return _rescaled(weight, _butterfly(weight, parts["rotation"]), parts)
        case Network.PEFT_OFT:
            return _turned_inputs(weight, parts["rotation"])
        case Network.PEFT_BOFT:
            return _rescaled(weight, _butterfly_of_inputs(weight, parts["rotation"]), parts)
        case Network.IA3:
            return weight * parts["factors"]
        case _:
            raise ValueError(f"{network} does not depend on the weight")


def change_of_bias(bias: torch.Tensor, network: Network, parts: Parts) -> torch.Tensor | None:
    """db of a bias (out,) in float32, where the network changes it with its weight."""
    factors = parts.get("factors")
    if network is not Network.IA3 or factors is None or factors.shape[0] != bias.shape[0] or factors.shape[1] != 1:
        return None
    return bias.float() * factors.float().flatten()


def _turned(weight: torch.Tensor, rotation: torch.Tensor) -> torch.Tensor:
    """(R - I) W, block by block of rows."""
    rows = weight.reshape(rotation.shape[0], rotation.shape[1], -1)
    return torch.bmm(rotation, rows).view(weight.shape)


def _turned_inputs(weight: torch.Tensor, rotation: torch.Tensor) -> torch.Tensor:
    """W (R - I)^T, block by block of inputs; one block is for all of them."""
    columns = weight.reshape(weight.shape[0], -1, rotation.shape[-1]).transpose(0, 1)
    return torch.matmul(columns, rotation.mT).transpose(0, 1).reshape(weight.shape)


def _butterfly_of_inputs(weight: torch.Tensor, rotations: torch.Tensor) -> torch.Tensor:
    """W R_0^T R_1^T ... - W; stage i makes a block of two halves of blocks that lie 2^i halves apart, stage 0 none."""
    inputs = weight.flatten(1).T
    half, outputs = rotations.shape[-1] // 2, weight.shape[0]
    moved = inputs
    for stage, rotation in enumerate(rotations):
        together = moved
        if stage:
            together = moved.reshape(-1, 2, 2**stage, half, outputs).transpose(1, 2).reshape(inputs.shape)
        moved = together + _turned(together, rotation)
        if stage:
            moved = moved.view(-1, 2**stage, 2, half, outputs).transpose(1, 2).reshape(inputs.shape)
    return (moved - inputs).T.reshape(weight.shape)


def _butterfly(weight: torch.Tensor, rotations: torch.Tensor) -> torch.Tensor:
    """R_m ... R_1 W - W; stage i takes a row and the one that lies 2^i halves of a block further into one block."""
    moved = weight.contiguous()
    half = rotations.shape[-1] // 2
    for stage, rotation in enumerate(rotations):
        distance = 2**stage * half
        together = moved.view(-1, 2, distance, *weight.shape[1:]).transpose(1, 2).reshape(weight.shape)
        together = together + _turned(together, rotation)
        moved = together.view(-1, distance, 2, *weight.shape[1:]).transpose(1, 2).reshape(weight.shape)
    return moved - weight


def _rescaled(weight: torch.Tensor, change: torch.Tensor, parts: Parts) -> torch.Tensor:
    if "rescale" not in parts:
        return change
    return parts["rescale"] * (weight + change) - weight
