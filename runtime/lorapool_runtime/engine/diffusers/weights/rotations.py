"""Rotations from what files say of them: R - I of each block, in float64."""

import math

import torch

from lorapool_api.kinds.conditions import Reason
from lorapool_api.lora.peft_config import PeftConfig
from lorapool_runtime.errors import AdapterError


def rotation_of_lycoris(blocks: torch.Tensor, most: float) -> torch.Tensor:
    """R is Cayley's transform of Q, the block less its transpose.

    Args:
        blocks: (..., size, size).
        most: the largest length of Q over all blocks; 0 bounds nothing. As LyCORIS' `diag_oft` and `boft` compute it.
    """
    turned = _finite(blocks)
    skew = turned - turned.mT
    length = float(skew.norm()) + 1e-8
    if 0 < most < length:
        skew = skew * (most / length)
    return _cayley(skew)


def rotation_of_peft(vectors: torch.Tensor, size: int, config: PeftConfig | None) -> torch.Tensor:
    """R = (I - Q) (I + Q)^-1, or Neumann's series of (I + Q) (I - Q)^-1, which turns the other way round.

    The series of n terms is I + 2 Q + ... + 2 Q^(n - 2) + Q^(n - 1); that of two I + 2 Q, of three as of four.
    All as `OFTRotationModule` of PEFT has it.

    Args:
        vectors: (blocks, size (size - 1) / 2), what is above the diagonal of each Q, row by row.
        config: of an OFT; `oft_most` bounds the length of each block.

    Returns:
        (blocks, size, size).

    Raises:
        AdapterError: no configuration, or of another network (`UnsupportedFormat`); NaN or infinity (`InvalidWeights`).
    """
    if config is None or config.oft_terms is None:
        raise AdapterError(Reason.UNSUPPORTED_FORMAT, "weights of an OFT whose configuration is of no OFT")
    numbers = _finite(vectors)
    above, right = torch.triu_indices(size, size, 1)
    half = numbers.new_zeros(len(numbers), size, size)
    half[:, above, right] = numbers
    skew = half - half.mT
    if config.oft_most is not None:
        most, length = config.oft_most / math.sqrt(len(skew)), skew.flatten(1).norm(dim=1)[:, None, None]
        skew = torch.where(length > most, skew * (most / length), skew)
    return _series(skew, config.oft_terms) if config.oft_terms else _cayley(-skew)


def butterfly_of_peft(blocks: torch.Tensor) -> torch.Tensor:
    """R = (I - Q) (I + Q)^-1, Q half of a block less its transpose, as `BOFTLayer` of PEFT has it.

    Args:
        blocks: (stages, blocks, size, size).

    Returns:
        As many.

    Raises:
        AdapterError: NaN or infinity (`InvalidWeights`).
    """
    exact = _finite(blocks)
    return _cayley((exact.mT - exact) / 2)


def _series(skew: torch.Tensor, terms: int) -> torch.Tensor:
    if terms == 1:
        return torch.zeros_like(skew)
    if terms == 2:
        return 2 * skew
    power = skew @ skew
    total = 2 * (skew + power)
    for _ in range(3, terms - 1):
        power = power @ skew
        total += 2 * power
    return total + power @ skew


def _cayley(skew: torch.Tensor) -> torch.Tensor:
    """(I - Q)^-1 (I + Q) - I."""
    eye = torch.eye(skew.shape[-1], dtype=skew.dtype)
    found: torch.Tensor = torch.linalg.solve_ex(eye - skew, 2 * skew).result
    return found


def _finite(numbers: torch.Tensor) -> torch.Tensor:
    exact = numbers.double()
    if not exact.isfinite().all():
        raise AdapterError(Reason.INVALID_WEIGHTS, "the blocks of a rotation hold NaN or infinity")
    return exact
