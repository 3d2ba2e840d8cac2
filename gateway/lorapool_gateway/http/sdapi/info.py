"""What images were made with, as the WebUI says it: `info` of a reply, and the text that it puts into files: pure."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from lorapool_api.rules.recipes.infotext import HASH_DIGITS, PictureRecipe, RecipeAdapter, infotext
from lorapool_api.rules.undeclared import undeclared_repo
from lorapool_api.wire.reply import GenerateReply
from lorapool_gateway.http.fields.json_images import JsonWithImages
from lorapool_gateway.http.sdapi.dialect import WebUIRequest
from lorapool_gateway.pods.images import Image

_TIMESTAMP: Final = "%Y%m%d%H%M%S"
# What the WebUI can do and nothing here does, as it says it where it is left alone. Some clients want all of it.
_LEFT_ALONE: Final[dict[str, Any]] = {
    "subseed_strength": 0,
    "restore_faces": False,
    "face_restoration_model": None,
    "sd_vae_name": None,
    "sd_vae_hash": None,
    "seed_resize_from_w": 0,
    "seed_resize_from_h": 0,
    "index_of_first_image": 0,
    "styles": [],
    "clip_skip": 1,
    "is_using_inpainting_conditioning": False,
}


def message(asked: WebUIRequest, reply: GenerateReply, images: Sequence[Image], made_at: datetime) -> JsonWithImages:
    """The reply of both: images in base64, what was asked, and a text of JSON with what was made."""
    parts: list[bytes | Image] = [b'{"images":[']
    for number, image in enumerate(images if asked.send_images else ()):
        parts += [b',"' if number else b'"', image, b'"']
    rest = {"parameters": dict(asked.parameters), "info": json.dumps(info(asked, reply, made_at))}
    parts.append(f"],{json.dumps(rest)[1:]}".encode())
    return JsonWithImages(tuple(parts))


def info(asked: WebUIRequest, reply: GenerateReply, made_at: datetime) -> dict[str, Any]:
    """What the images were made with, by the names of the WebUI; what only the pod knows is left out."""
    generate, seeds = asked.generate, [made.seed for made in reply.images]
    prompt, negative = _prompt(asked), generate.negative_prompt or ""
    return {
        **_LEFT_ALONE,
        "prompt": prompt,
        "all_prompts": [prompt] * len(seeds),
        "negative_prompt": negative,
        "all_negative_prompts": [negative] * len(seeds),
        "seed": seeds[0],
        "all_seeds": seeds,
        "subseed": seeds[0],
        "all_subseeds": seeds,
        "width": reply.width,
        "height": reply.height,
        "batch_size": len(seeds),
        "denoising_strength": generate.strength,
        "sd_model_name": reply.base,
        "sd_model_hash": reply.base_revision[:10],
        "lora_hashes": _lora_hashes(reply),
        "extra_generation_params": {"Lora hashes": _listed(_lora_hashes(reply))} if reply.adapters else {},
        "infotexts": infotexts(asked, reply),
        "job_timestamp": made_at.strftime(_TIMESTAMP),
        "version": "lorapool",
        **{name: value for name, value in _said(asked).items() if value is not None},
    }


def infotexts(asked: WebUIRequest, reply: GenerateReply) -> list[str]:
    """For each image the text that its file holds, or what is known here of it."""
    return [made.recipe or _infotext(asked, reply, made.seed) for made in reply.images]


def _infotext(asked: WebUIRequest, reply: GenerateReply, seed: int) -> str:
    said, generate = _said(asked), asked.generate
    recipe = PictureRecipe(
        prompt=_prompt(asked),
        negative_prompt=generate.negative_prompt or "",
        seed=seed,
        width=reply.width,
        height=reply.height,
        base=reply.base,
        revision=reply.base_revision,
        steps=said["steps"],
        sampler=said["sampler_name"],
        guidance_scale=said["cfg_scale"],
        strength=generate.strength,
        adapters=[RecipeAdapter(undeclared_repo(use.key) or use.key, use.sha256, None) for use in reply.adapters],
    )
    return infotext(recipe, has_tags=False)


def _prompt(asked: WebUIRequest) -> str:
    """As it was said, with the adapters in it."""
    return str(asked.parameters.get("prompt", asked.generate.prompt))


def _said(asked: WebUIRequest) -> dict[str, Any]:
    """What the request said itself, else None: the pool's defaults are in the pod."""
    return {
        "steps": asked.generate.steps,
        "cfg_scale": asked.generate.guidance_scale,
        "sampler_name": asked.parameters.get("sampler_name") or asked.parameters.get("sampler_index"),
    }


def _lora_hashes(reply: GenerateReply) -> dict[str, str]:
    return {undeclared_repo(use.key) or use.key: use.sha256[:HASH_DIGITS] for use in reply.adapters}


def _listed(hashes: dict[str, str]) -> str:
    return ", ".join(f"{key}: {digest}" for key, digest in hashes.items())
