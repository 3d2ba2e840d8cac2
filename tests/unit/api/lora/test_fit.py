"""Whether an adapter fits a base."""

from collections.abc import Callable

import pytest
from tests.unit.api.lora.files import BASE, MODULE, Shapes, facts_of, loha, lokr, pair

from lorapool_api.kinds.conditions import Reason
from lorapool_api.lora.fit import check_fits, check_rank
from lorapool_api.lora.header import FactsError


def misfit(tensors: Shapes) -> str:
    with pytest.raises(FactsError) as refusal:
        check_fits(facts_of(tensors), BASE)
    assert refusal.value.reason is Reason.BASE_MODEL_MISMATCH
    return refusal.value.message


def test_text_encoders_are_named_with_and_without_their_prefix() -> None:
    for name in ("text_encoder.text_model.encoder.fc1", "text_encoder.encoder.fc1"):
        check_fits(facts_of(pair(f"{name}.lora_A.weight", f"{name}.lora_B.weight", width=4, out=8)), BASE)
    check_fits(
        facts_of(
            pair(
                "lora_te1_text_model_encoder_fc1.lora_down.weight",
                "lora_te1_text_model_encoder_fc1.lora_up.weight",
                width=4,
                out=8,
            )
        ),
        BASE,
    )


def test_convolutions_are_judged_with_their_kernel() -> None:
    fits: Shapes = {"unet.conv_in.lora_A.weight": (2, 4, 3, 3), "unet.conv_in.lora_B.weight": (32, 2, 1, 1)}
    check_fits(facts_of(fits), BASE)
    message = misfit({"unet.conv_in.lora_A.weight": (2, 4, 5, 5), "unet.conv_in.lora_B.weight": (32, 2, 1, 1)})
    assert "32 x 4 x 3 x 3" in message
    assert "32 x 4 x 5 x 5" in message


def test_the_highest_rank_counts() -> None:
    facts = facts_of(
        pair("unet.a.lora_A.weight", "unet.a.lora_B.weight", rank=4)
        | pair("unet.b.lora_A.weight", "unet.b.lora_B.weight", rank=64)
    )
    assert facts.rank == 64
    check_rank(facts, 64)
    with pytest.raises(FactsError, match="rank 64; the pool takes at most 63"):
        check_rank(facts, 63)


def test_an_adapter_for_another_base_is_refused_with_both_families() -> None:
    message = misfit(pair(f"unet.{MODULE}.lora_A.weight", f"unet.{MODULE}.lora_B.weight", width=768))
    assert "SD 1.x (cross-attention 768); this base needs 2048" in message


def test_a_module_that_the_base_lacks_is_named() -> None:
    assert "up_blocks_9" in misfit(pair("unet.up_blocks.9.lora_A.weight", "unet.up_blocks.9.lora_B.weight"))


def test_a_base_without_modules_takes_everything() -> None:
    check_fits(facts_of(pair("unet.x.lora_A.weight", "unet.x.lora_B.weight")), {})


@pytest.mark.parametrize("make_file", [loha, lokr, lambda width: loha(width, core=True)])
def test_networks_without_sides_of_their_own_are_judged_by_what_they_make(make_file: Callable[[int], Shapes]) -> None:
    check_fits(facts_of(make_file(2048)), BASE)
    assert "SD 1.x" in misfit(make_file(768))


def test_a_transformer_may_be_called_a_unet() -> None:
    """PEFT's files and LyCORIS' wrapper do not say which it is: the base does."""
    base: dict[str, Shapes] = {"transformer": {"transformer_blocks.0.attn.to_q": (64, 2048)}}
    name = "base_model.model.transformer_blocks.0.attn.to_q"
    check_fits(facts_of(pair(f"{name}.lora_A.weight", f"{name}.lora_B.weight")), base)
