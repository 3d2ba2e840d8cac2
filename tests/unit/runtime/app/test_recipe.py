"""What a request leaves open: its adapters fill it in, then the pool."""

import base64
import io

import pytest
from PIL import Image

from lorapool_api.kinds.serving import AdapterDefaults, PromptSyntax, SchedulerName, Serving, TimestepSpacing
from lorapool_api.wire.reply import ErrorCode
from lorapool_api.wire.request import AdapterUse, GenerateRequest, Upscaler
from lorapool_api.wire.weighting.blocks import SDXL, Blocks
from lorapool_api.wire.weighting.scale import Weighting
from lorapool_runtime.app.recipe import check_blocks, complete
from lorapool_runtime.engine.contract import BaseInfo
from lorapool_runtime.engine.passes import Hires
from lorapool_runtime.errors import RequestError

SERVING = Serving.model_validate(
    {"defaults": {"steps": 25, "guidanceScale": 5, "scheduler": "heun", "timestepSpacing": "linspace"}}
)
LIGHTNING = AdapterDefaults(
    steps=4,
    guidance_scale=0.0,
    scheduler=SchedulerName.EULER,
    timestep_spacing=TimestepSpacing.TRAILING,
    negative_prompt="grey",
)
Sampling = tuple[int, float, str | None, str | None, str]


def sampling(of_stack: AdapterDefaults, **said: object) -> Sampling:
    recipe = complete(GenerateRequest.model_validate({"prompt": "a", **said}), SERVING, 1, of_stack)
    return recipe.steps, recipe.guidance_scale, recipe.scheduler, recipe.timestep_spacing, recipe.negative_prompt


def test_adapters_go_before_the_pool() -> None:
    assert sampling(LIGHTNING) == (4, 0.0, "euler", "trailing", "grey")
    assert sampling(AdapterDefaults(guidance_scale=0.0)) == (25, 0.0, "heun", "linspace", "")
    assert sampling(AdapterDefaults()) == (25, 5.0, "heun", "linspace", "")


def test_the_request_goes_before_both() -> None:
    said = {"steps": 8, "guidance_scale": 2, "scheduler": "ddim", "timestep_spacing": "leading", "negative_prompt": ""}
    assert sampling(LIGHTNING, **said) == (8, 2.0, "ddim", "leading", "")


def test_prompts_are_read_as_the_request_says_else_as_the_pool() -> None:
    weighted = Serving.model_validate({"promptSyntax": "Compel"})
    said = GenerateRequest(prompt="a cat++")
    assert complete(said, SERVING, 1).prompt_syntax is PromptSyntax.PLAIN
    assert complete(said, weighted, 1).prompt_syntax is PromptSyntax.COMPEL
    plain = said.model_copy(update={"prompt_syntax": PromptSyntax.PLAIN})
    assert complete(plain, weighted, 1).prompt_syntax is PromptSyntax.PLAIN


@pytest.mark.parametrize("field", ["prompt", "negative_prompt"])
def test_a_prompt_that_cannot_be_read_is_refused_before_it_waits(field: str) -> None:
    said = {"prompt": "a", "prompt_syntax": "Compel", field: "a (cat)99"}
    with pytest.raises(RequestError, match=f"{field}: weight 99"):
        complete(GenerateRequest.model_validate(said), SERVING, 1)


def test_a_second_pass_has_the_size_of_the_result() -> None:
    said = {"prompt": "a", "width": 512, "height": 256, "hires": {"scale": 1.5, "upscaler": "Latent", "steps": 9}}
    recipe = complete(GenerateRequest.model_validate(said), SERVING, 1)
    assert (recipe.width, recipe.height) == (768, 384)
    assert recipe.hires == Hires(512, 256, Upscaler.LATENT, 9, 0.5)
    assert recipe.shape is None


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"width": 1024, "height": 1024}, "at most 2359296"),
        ({"steps": 101}, "steps 101"),
        ({"hires": {"steps": 101}}, "steps 101"),
        ({"hires": {"steps": 4, "strength": 0.2}}, "leaves none"),
    ],
)
def test_a_second_pass_keeps_the_limits_of_the_pool(changes: dict[str, object], why: str) -> None:
    said = {"prompt": "a", "width": 256, "height": 256, "hires": {"scale": 2}, **changes}
    with pytest.raises(RequestError, match=why):
        complete(GenerateRequest.model_validate(said), SERVING, 1)


def test_a_strength_that_leaves_none_of_the_adapters_few_steps_is_refused_with_their_number() -> None:
    file = io.BytesIO()
    Image.new("RGB", (64, 64)).save(file, "PNG")
    picture = base64.b64encode(file.getvalue()).decode()
    with pytest.raises(RequestError, match="of 4 steps") as refused:
        sampling(LIGHTNING, image=picture, strength=0.1)
    assert refused.value.code is ErrorCode.INVALID_REQUEST


@pytest.mark.parametrize(
    ("blocks", "base", "words"),
    [
        ("OUTALL", BaseInfo("r", 0, {}, family="Flux.1"), "cannot be said block by block with Flux.1"),
        ((1.0,) * 17, BaseInfo("r", 0, {}, family="SDXL", blocks=SDXL), "blocks of SDXL are 12 or 20 weights, not 17"),
    ],
)
def test_blocks_that_the_base_has_not_are_refused_before_the_request_waits(
    blocks: Blocks, base: BaseInfo, words: str
) -> None:
    plain = AdapterUse(key="a/plain", scale=Weighting(steps=((0, 1), (0.5, 0))))
    check_blocks([AdapterUse(key="a/none"), plain], base)
    with pytest.raises(RequestError, match=words) as refused:
        check_blocks([plain, AdapterUse(key="a/weighed", scale=Weighting(blocks=blocks))], base)
    assert refused.value.code is ErrorCode.INVALID_REQUEST
    assert "a/weighed" in str(refused.value)
