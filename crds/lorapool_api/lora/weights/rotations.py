"""Rotations of a weight's rows, as LyCORIS writes them, and of its inputs, as PEFT does."""

from math import isqrt, prod

from lorapool_api.lora.weights.parts import Parts, by_sides, invalid, shape_of
from lorapool_api.lora.weights.shape import Network, WeightShape


def of_lycoris(parts: Parts) -> WeightShape:
    """`oft_blocks` of (blocks, size, size), or for a butterfly (stages, blocks, size, size), and `rescale`.

    Raises:
        FactsError: shapes of no rotation (`InvalidWeights`).
    """
    blocks = shape_of(parts, "oft_blocks")
    if len(blocks) not in (3, 4) or blocks[-1] != blocks[-2]:
        raise invalid(f"oft_blocks of shape {by_sides(blocks)}")
    count, size = blocks[-3:-1]
    if len(blocks) == 4 and not _is_butterfly(blocks):
        raise invalid(f"oft_blocks of shape {by_sides(blocks)} is no butterfly")
    outputs = count * size
    if prod(parts.get("rescale", (outputs,))) != outputs:
        raise invalid(f"rescale has shape {by_sides(parts['rescale'])} for {outputs} outputs")
    return WeightShape(Network.OFT if len(blocks) == 3 else Network.BOFT, size, outputs, 0, None)


def _is_butterfly(blocks: tuple[int, ...]) -> bool:
    """Stage i turns numbers that lie 2^i halves of a block apart."""
    stages, count, size = blocks[:3]
    return not (size % 2 or stages > count.bit_length() or count % 2 ** (stages - 1))


def boft_of_peft(parts: Parts) -> WeightShape:
    """`boft_R` of (stages, blocks, size, size) and `boft_s`, a factor for each output.

    Raises:
        FactsError: a part that is missing, shapes of no rotation (`InvalidWeights`).
    """
    blocks, scale = shape_of(parts, "boft_blocks"), shape_of(parts, "boft_scale")
    if len(blocks) != 4 or blocks[2] != blocks[3] or not (blocks[0] == 1 or _is_butterfly(blocks)):
        raise invalid(f"boft_R of shape {by_sides(blocks)}")
    if len(scale) != 2 or 1 not in scale:
        raise invalid(f"boft_s of shape {by_sides(scale)}")
    return WeightShape(Network.PEFT_BOFT, blocks[2], prod(scale), blocks[1] * blocks[2], None)


def oft_of_peft(parts: Parts) -> WeightShape:
    """`oft_R.weight` of (blocks, size (size - 1) / 2): what stands above the diagonal of each block, row by row.

    One block may turn all inputs alike (`block_share`): how many there are, the base says.

    Raises:
        FactsError: shapes of no rotation (`InvalidWeights`).
    """
    vectors = shape_of(parts, "oft_vectors")
    if len(vectors) != 2:
        raise invalid(f"oft_R of shape {by_sides(vectors)}")
    count, numbers = vectors
    size = (1 + isqrt(1 + 8 * numbers)) // 2
    if size * (size - 1) // 2 != numbers:
        raise invalid(f"oft_R has {numbers} numbers a block, which are the upper half of none")
    return WeightShape(Network.PEFT_OFT, size, 0, 0 if count == 1 else count * size, None)
