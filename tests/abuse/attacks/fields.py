"""Fields of each dialect with values that do not fit them, and some that do."""

import random
from typing import Any, Final

from tests.abuse.attacks.attack import Attack, Make, post_json

_FIELDS: Final[dict[str, tuple[str, ...]]] = {
    "/": ("inputs", "parameters", "image", "mask", "mask_image", "model", "lora", "loras", "options"),
    "/v1/images/generations": (
        *("prompt", "model", "n", "size", "response_format", "output_format", "stream", "partial_images", "loras"),
        *(
            "negative_prompt",
            "prompt_syntax",
            "steps",
            "guidance_scale",
            "scheduler",
            "seed",
            "hires",
            "controls",
            "user",
        ),
        *("timestep_spacing", "num_inference_steps", "lora", "quality", "background", "style", "moderation"),
    ),
    "/v1/images/edits": (
        "prompt",
        "image",
        "images",
        "mask",
        "strength",
        "n",
        "model",
        "size",
        "stream",
        "input_fidelity",
    ),
    "/sdapi/v1/txt2img": (
        *("prompt", "negative_prompt", "seed", "sampler_name", "sampler_index", "scheduler", "batch_size", "n_iter"),
        *(
            "steps",
            "cfg_scale",
            "width",
            "height",
            "denoising_strength",
            "override_settings",
            "send_images",
            "enable_hr",
        ),
        *("hr_scale", "hr_upscaler", "hr_second_pass_steps", "hr_resize_x", "hr_resize_y", "styles", "script_name"),
    ),
    "/sdapi/v1/img2img": ("prompt", "init_images", "mask", "include_init_images", "resize_mode", "denoising_strength"),
    "/v1/jobs": ("url", "body", "custom_id", "previews", "method", "prompt"),
    "/sdapi/v1/options": ("sd_model_checkpoint", "anything"),
}
_PARAMETERS: Final = (
    *("prompt", "negative_prompt", "width", "height", "target_size", "num_inference_steps", "guidance_scale", "seed"),
    *(
        "scheduler",
        "timestep_spacing",
        "hires",
        "controls",
        "strength",
        "image",
        "mask_image",
        "lora",
        "loras",
        "extra_body",
    ),
)
_VALUES: Final[tuple[Any, ...]] = (
    *(None, True, False, 0, -1, 1, 2, 7, 8, 64, 512, 2**31, 2**63, 2**64, -(2**63), 0.5, -0.5, 1e308, 1e-308),
    *(
        "",
        " ",
        "a cat",
        "bench",
        "default/bench",
        "a/b/c",
        "../..",
        "\0",
        "\ud800",
        "a\r\nb: c",
        "<lora:a:1>",
        "png",
        "url",
    ),
    *("b64_json", "64x64", "0x0", "99999x99999", "1e9x1", "euler-a", "Karras", "auto", "true", "data:,", "https://x/y"),
    *(
        [],
        {},
        [None],
        [[]],
        [{}],
        {"": ""},
        {"width": 64, "height": 64},
        {"scale": 2},
        [{"name": "bench", "scale": 1e308}],
    ),
    {"sd_model_checkpoint": "bench"},
    {"sd_model_checkpoint": 5},
    ["bench:1", "bench:0.5"],
    "x" * 5000,
)


def _value(rng: random.Random, depth: int = 0) -> Any:
    if depth < 3 and rng.random() < 0.15:
        return [_value(rng, depth + 1) for _ in range(rng.randrange(4))]
    if depth < 3 and rng.random() < 0.15:
        return {str(rng.choice(_VALUES))[:20]: _value(rng, depth + 1) for _ in range(rng.randrange(4))}
    return rng.choice(_VALUES)


def wrong(rng: random.Random) -> Attack:
    """A request that would be good but for a few fields."""
    target = rng.choice(sorted(_FIELDS))
    said: dict[str, Any] = {"prompt": "a cat"} if target != "/" else {"inputs": "a cat"}
    if target == "/v1/jobs":
        said = {"url": rng.choice(sorted(_FIELDS)), "body": said}
    for name in rng.choices(_FIELDS[target], k=rng.randrange(1, 5)):
        said[name] = _value(rng)
    if target == "/" and rng.random() < 0.6:
        said["parameters"] = {name: _value(rng) for name in rng.choices(_PARAMETERS, k=rng.randrange(1, 5))}
    return post_json("fields", target, said)


_SCALES: Final[tuple[Any, ...]] = (
    *(0.5, None, "0.5", [], [[0, 1]], [[0, 1], [0.5, 0.3]], [[0, 1], [0.5, 1e308]], [[0.5, 1]], [[0, 1, 2]], [[[]]]),
    *([[i / 100, 1] for i in range(100)], [[0, 1]] * 2000, {"steps": [[0, 1]]}, [[0, "x"]], [[-1, 1]], [["0", 1]]),
)
_BLOCKS: Final[tuple[Any, ...]] = (
    "OUTALL",
    "outall",
    "",
    [1] * 12,
    [1] * 17,
    [1] * 5000,
    ["x"] * 12,
    [1e308] * 12,
    1,
    {},
)
_ENDS: Final = (
    "0.8",
    "te=1",
    "te=",
    "unet=x",
    "lbw=OUTALL",
    "lbw=" + "1," * 11 + "1",
    "lbw=,,",
    "step=1-2",
    "start=9",
    "=",
)


def scales(rng: random.Random) -> Attack:
    """Scales by step, by block and by text encoder, some of which may be."""
    target = rng.choice(("/", "/v1/images/generations", "/sdapi/v1/txt2img"))
    item = {"name": "bench", rng.choice(("scale", "weight")): rng.choice(_SCALES)}
    if rng.random() < 0.5:
        item[rng.choice(("text_encoder_scale", "textEncoderScale"))] = rng.choice((0.5, None, "loud", [1], 1e308))
    if rng.random() < 0.5:
        item["blocks"] = rng.choice(_BLOCKS)
    tag = ":".join(("bench", *rng.choices(_ENDS, k=rng.randrange(12))))
    prompt = rng.choice(("a cat", f"a <lora:{tag}>"))
    return post_json("scales", target, {"inputs" if target == "/" else "prompt": prompt, "loras": [item]})


FIELDS: tuple[Make, ...] = (wrong, scales)
