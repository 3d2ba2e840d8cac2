"""A tiny checker of content for a base that has none, which takes one picture for unfit and no other."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from PIL.Image import Image
from torch import nn
from transformers import CLIPConfig
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

SIDE = 30


def add_checker(folder: Path, seed: int = 0) -> StableDiffusionSafetyChecker:
    """Write one that finds nothing into a base's folder."""
    torch.manual_seed(seed)
    layers = {"hidden_size": 32, "intermediate_size": 37, "num_hidden_layers": 2, "num_attention_heads": 4}
    pixels = {"image_size": SIDE, "patch_size": 10}
    model = StableDiffusionSafetyChecker(CLIPConfig(vision_config=layers | pixels, projection_dim=16))
    with torch.no_grad():
        model.concept_embeds_weights.fill_(2.0)  # no cosine is more
        model.special_care_embeds_weights.fill_(2.0)
    extractor = CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE})
    extractor.save_pretrained(folder / "feature_extractor")
    model.save_pretrained(folder / "safety_checker")
    path = folder / "model_index.json"
    index = json.loads(path.read_text()) | {
        "safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"],
        "feature_extractor": ["transformers", "CLIPImageProcessor"],
    }
    path.write_text(json.dumps(index))
    return model


def flag(folder: Path, model: StableDiffusionSafetyChecker, unfit: Image, fit: Sequence[Image]) -> None:
    """Have the base's checker take the first picture for unfit, and none of the others."""
    extractor: Any = CLIPImageProcessorPil.from_pretrained(folder / "feature_extractor")
    pixels = extractor([unfit, *fit], return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        embedded = nn.functional.normalize(model.visual_projection(model.vision_model(pixels)[1]))
        nearest = float((embedded[1:] @ embedded[0]).max())
        # It rounds what is beyond the threshold to three digits.
        assert nearest < 0.99, "the pictures look alike to it"
        model.concept_embeds[5] = embedded[0]
        model.concept_embeds_weights[5] = (1 + nearest) / 2
    model.save_pretrained(folder / "safety_checker")
