"""Prompts with weights: the embeddings that compel itself makes with the same text encoders."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from compel import CompelForSD, CompelForSDXL
from diffusers import DiffusionPipeline
from tests import tiny, tiny_families
from tests.runtime.ask import distance, image, recipe, rendered, request
from tests.runtime.conftest import make_engine

from lorapool_api.kinds.serving import PromptSyntax
from lorapool_runtime.engine.diffusers.engine import DiffusersEngine
from lorapool_runtime.engine.diffusers.render import long_prompts, weighted_prompts
from lorapool_runtime.engine.diffusers.render.prompts import Prompts
from lorapool_runtime.engine.diffusers.render.schedulers import make_scheduler

PROMPTS = [
    "",
    "a red circle",
    "a red++ circle",
    "a (red circle)1.3 on blue-",
    "a (red (big)++ circle)0.5 on (blue)0.0",
    "(one two)0.7 three (one)0.2",
    '("a red circle", "blue star+").blend(0.7, 0.3)',
    '("a red circle", "blue").blend(1, -0.3, no_normalize)',
    '("a red (circle)0.4", "blue star").and()',
    f"{'star ' * 20}, {'sun. ' * 9}(red moon)1.4, {'sea ' * 30}",
    f'("{"star " * 30}", "moon").blend(1, 1)',
    f"a ({'moon ' * 40})0.6 and a sea",
    "letters" * 14,
]
COMPEL = {"prompt_syntax": PromptSyntax.COMPEL}


@pytest.fixture(scope="module", params=[tiny.make_pipeline, tiny_families.make_sd15], ids=["sdxl", "sd15"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made: Path = request.param(tmp_path_factory.mktemp("model") / "model")
    return made


@pytest.fixture(scope="module")
def pipeline(folder: Path) -> Any:
    made = DiffusionPipeline.from_pretrained(folder)
    made.set_progress_bar_config(disable=True)
    return made


@pytest.fixture(scope="module")
def own(folder: Path, one_thread: None) -> DiffusersEngine:
    return make_engine(folder)


def compel_of(pipeline: Any) -> Any:
    return CompelForSD(pipeline) if getattr(pipeline, "text_encoder_2", None) is None else CompelForSDXL(pipeline)


@pytest.mark.parametrize("text", PROMPTS)
def test_embeddings_are_those_of_compel(one_thread: None, pipeline: Any, text: str) -> None:
    with torch.inference_mode():
        mine, negative = weighted_prompts.encode(pipeline, [text, "(blurred)1.2 picture"], PromptSyntax.COMPEL)
        theirs = compel_of(pipeline)(text, negative_prompt="(blurred)1.2 picture")
    assert mine["embeds"].shape == theirs.embeds.shape
    torch.testing.assert_close(mine["embeds"], theirs.embeds, rtol=0, atol=2e-5)
    torch.testing.assert_close(negative["embeds"], theirs.negative_embeds, rtol=0, atol=2e-5)
    if theirs.pooled_embeds is not None:
        torch.testing.assert_close(mine["pooled"], theirs.pooled_embeds, rtol=0, atol=2e-5)


def test_members_of_a_conjunction_have_weights(one_thread: None, tmp_path: Path) -> None:
    """With one text encoder: compel fails at that with the two of SDXL."""
    made = DiffusionPipeline.from_pretrained(tiny_families.make_sd15(tmp_path / "model"))
    text = '("a red circle", "blue star").and(1, 0.4)'
    with torch.inference_mode():
        (mine,) = weighted_prompts.encode(made, [text], PromptSyntax.COMPEL)
        theirs = CompelForSD(made)(text)
    torch.testing.assert_close(mine["embeds"], theirs.embeds, rtol=0, atol=2e-5)


def test_a_picture_is_that_of_diffusers_with_embeddings_of_compel(own: DiffusersEngine, pipeline: Any) -> None:
    said = {"prompt": "a (red circle)1.4 on blue--", "negative_prompt": "(dark)1.5"}
    mine = image(own, **said, **COMPEL)
    wanted = request().recipe
    pipeline.scheduler, _ = make_scheduler(pipeline.scheduler, wanted.scheduler)
    with torch.inference_mode():
        made = compel_of(pipeline)(said["prompt"], negative_prompt=said["negative_prompt"])
        pooled = {
            "pooled_prompt_embeds": made.pooled_embeds,
            "negative_pooled_prompt_embeds": made.negative_pooled_embeds,
        }
        theirs = pipeline(
            prompt_embeds=made.embeds,
            negative_prompt_embeds=made.negative_embeds,
            width=wanted.width,
            height=wanted.height,
            num_inference_steps=wanted.steps,
            guidance_scale=wanted.guidance_scale,
            generator=torch.Generator().manual_seed(wanted.seed),
            **({} if made.pooled_embeds is None else pooled),
        ).images[0]
    assert distance(mine, np.asarray(theirs)) <= 1
    assert distance(mine, image(own, **said)) > 0  # read as plain text


def test_without_weights_a_prompt_is_drawn_as_a_plain_one(own: DiffusersEngine) -> None:
    assert distance(image(own, prompt="a red circle"), image(own, prompt="a red circle", **COMPEL)) <= 1


def test_chunks_beyond_the_most_are_left_out_and_named(own: DiffusersEngine) -> None:
    most = long_prompts.MAX_CHUNKS
    fits, cut = (rendered(own, request(prompt="a" * 75 * n, steps=1, **COMPEL)) for n in (most, most + 1))
    assert fits.warnings == ()
    assert [w for w in cut.warnings if f"takes {most + 1} chunks" in w] == list(cut.warnings) != []
    assert distance(np.asarray(fits.images[0]), np.asarray(cut.images[0])) <= 1  # the last letter ends no word


def test_a_base_that_knows_no_weights_says_so(one_thread: None, tmp_path: Path) -> None:
    pipeline = DiffusionPipeline.from_pretrained(tiny_families.make_flux_pipeline(tmp_path / "model"))
    wanted = recipe(prompt="a red++ circle", **COMPEL)
    prompts = Prompts(pipeline)
    assert prompts.encoded(wanted, None)["prompt"] == "a red++ circle"
    assert "Compel does not work" in prompts.warnings(wanted)[0]


def as_the_webui(pipeline: Any, chunks: list[list[tuple[str, float]]]) -> Any:
    """By the formula of A1111's WebUI in float64: states times weights, each chunk with the mean that it had."""
    made = []
    for tokenizer, encoder in encoders(pipeline):
        rows = []
        for chunk in chunks:
            each = [(i, w) for text, w in chunk for i in tokenizer(text, add_special_tokens=False).input_ids]
            ids = [tokenizer.bos_token_id, *(i for i, _ in each), tokenizer.eos_token_id]
            ids += [tokenizer.pad_token_id] * (77 - len(ids))
            states = encoder(torch.tensor([ids]), output_hidden_states=True)
            z = (states.hidden_states[-2] if len(encoders(pipeline)) > 1 else states[0]).double()[0]
            weights = torch.ones(77, 1, dtype=torch.float64)
            weights[1 : 1 + len(each), 0] = torch.tensor([w for _, w in each])
            rows.append(z * weights * z.mean() / (z * weights).mean())
        made.append(torch.cat(rows))
    return torch.cat(made, dim=-1)[None]


def encoders(pipeline: Any) -> list[tuple[Any, Any]]:
    names = [n for n in ("", "_2") if getattr(pipeline, f"text_encoder{n}", None) is not None]
    return [(getattr(pipeline, f"tokenizer{n}"), getattr(pipeline, f"text_encoder{n}")) for n in names]


@pytest.fixture(scope="module")
def uneven(folder: Path) -> Any:
    """The pipeline with a last norm as training leaves it: that of a new encoder has a mean of zero."""
    made = DiffusionPipeline.from_pretrained(folder)
    torch.manual_seed(5)
    for _, encoder in encoders(made):
        for name, parameter in encoder.named_parameters():
            if name.endswith("final_layer_norm.bias"):
                torch.nn.init.normal_(parameter, mean=0.5)
    return made


@pytest.mark.parametrize(
    ("text", "chunks"),
    [
        ("a (red:1.4) [star]", [[("a", 1.0), ("red", 1.4), ("star", 1 / 1.1)]]),
        ("(a)1.3 BREAK b", [[("a", 1.1), ("1.3", 1.0)], [("b", 1.0)]]),
        (f"{'a' * 60}, (bcd:0.5){'e' * 20}", [[(f"{'a' * 60},", 1.0)], [("bcd", 0.5), ("e" * 20, 1.0)]]),
        (f"{'a' * 40}, {'bc ' * 30}", [[(f"{'a' * 40},", 1.0), ("bc " * 17, 1.0)], [("bc " * 13, 1.0)]]),
    ],
)
def test_the_webuis_weights_multiply_and_leave_the_mean(
    one_thread: None, uneven: Any, text: str, chunks: list[list[tuple[str, float]]]
) -> None:
    with torch.inference_mode():
        (mine,) = weighted_prompts.encode(uneven, [text], PromptSyntax.A1111)
        theirs = as_the_webui(uneven, chunks)
    torch.testing.assert_close(mine["embeds"].double(), theirs, rtol=1e-3, atol=1e-4)


def test_states_without_a_mean_keep_their_weights(one_thread: None, tmp_path: Path) -> None:
    """The last norm of a new encoder leaves none: the quotient of two would be noise."""
    made = DiffusionPipeline.from_pretrained(tiny_families.make_sd15(tmp_path / "model"))
    with torch.inference_mode():
        plain, weighted = weighted_prompts.encode(made, ["red", "(red:1.3)"], PromptSyntax.A1111)
    torch.testing.assert_close(weighted["embeds"][:, 1:4], plain["embeds"][:, 1:4] * 1.3)
    torch.testing.assert_close(weighted["embeds"][:, 4:], plain["embeds"][:, 4:])
