"""Adapters that are known by name."""

import pytest

from lorapool_api.kinds.serving import FoundDefaults
from lorapool_api.rules.few_steps import recognised

HYPER = "ByteDance/Hyper-SD"
WEIGHTS = "pytorch_lora_weights.safetensors"


@pytest.mark.parametrize(
    ("repo", "file", "said"),
    [
        ("latent-consistency/lcm-lora-sdxl", WEIGHTS, (4, 1.0, "lcm", None)),
        ("latent-consistency/lcm-lora-sdv1-5", WEIGHTS, (4, 1.0, "lcm", None)),
        ("h1t/TCD-SDXL-LoRA", WEIGHTS, (4, 0.0, "tcd", None)),
        ("ByteDance/SDXL-Lightning", "sdxl_lightning_4step_lora.safetensors", (4, 0.0, "euler", "trailing")),
        ("ByteDance/SDXL-Lightning", "sdxl_lightning_8step_lora.safetensors", (8, 0.0, "euler", "trailing")),
        (HYPER, "Hyper-SDXL-8steps-lora.safetensors", (8, 0.0, "ddim", "trailing")),
        (HYPER, "Hyper-SD15-12steps-CFG-lora.safetensors", (12, 5.0, "ddim", "trailing")),
        (HYPER, "Hyper-SDXL-1step-lora.safetensors", (1, 0.0, "tcd", None)),
        (None, "/adapters/few/lcm-lora-sdxl.safetensors", (4, 1.0, "lcm", None)),
        (None, "https://host/a/SDXL_lightning_2step_lora.safetensors", (2, 0.0, "euler", "trailing")),
    ],
)
def test_names_that_everybody_knows_say_how_they_are_sampled(
    repo: str | None, file: str, said: tuple[int, float, str, str | None]
) -> None:
    found = recognised(repo, file)
    assert found is not None
    assert (found.steps, found.guidance_scale, found.scheduler, found.timestep_spacing) == said
    assert isinstance(found, FoundDefaults)


@pytest.mark.parametrize(
    ("repo", "file"),
    [
        ("nerijs/pixel-art-xl", "pixel-art-xl.safetensors"),
        (HYPER, "Hyper-FLUX.1-dev-8steps-lora.safetensors"),  # it needs a scale of 0.125, which no default is
        ("ByteDance/SDXL-Lightning", "sdxl_lightning_3step_lora.safetensors"),
        ("someone/not-lcm-lora-sdxl", WEIGHTS),
        ("someone/lcm-lora-sdxl-style", WEIGHTS),
        (None, None),
    ],
)
def test_nothing_is_guessed(repo: str | None, file: str | None) -> None:
    assert recognised(repo, file) is None
