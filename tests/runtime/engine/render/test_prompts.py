"""Prompts of any length: exact where CLIP takes them whole, in chunks of 75 tokens beyond, and what is cut is named."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline
from tests import tiny, tiny_families
from tests.runtime.ask import distance, finished, image, rendered, request
from tests.runtime.conftest import make_engine

from lorapool_runtime.engine.diffusers.engine import DiffusersEngine
from lorapool_runtime.engine.diffusers.render import long_prompts
from lorapool_runtime.engine.diffusers.render.schedulers import make_scheduler

# The tiny tokenizer makes a token of each letter, so pieces of a text are pieces of its tokens.
ROOM = 75
LONG = "ared" * 25 + "star" * 20
NEGATIVE = "blur" * 30


@pytest.fixture(params=[tiny.make_pipeline, tiny_families.make_sd15], ids=["sdxl", "sd15"])
def folder(request: pytest.FixtureRequest, one_thread: None, tmp_path: Path) -> Path:
    made: Path = request.param(tmp_path / "model")
    return made


@pytest.fixture
def pipeline(folder: Path) -> Any:
    made = DiffusionPipeline.from_pretrained(folder)
    made.set_progress_bar_config(disable=True)
    return made


@pytest.fixture
def own(folder: Path) -> DiffusersEngine:
    return make_engine(folder)


def encoded(pipeline: Any, text: str) -> tuple[Any, Any]:
    """(embeddings, pooled or None) by the pipeline's own code."""
    with torch.inference_mode():
        made = pipeline.encode_prompt(text, device="cpu", num_images_per_prompt=1, do_classifier_free_guidance=False)
    return made[0], made[2] if len(made) > 2 else None


def in_pieces(pipeline: Any, text: str, count: int) -> tuple[Any, Any]:
    pieces = [encoded(pipeline, text[i * ROOM : (i + 1) * ROOM]) for i in range(count)]
    return torch.cat([embeds for embeds, _ in pieces], dim=1), pieces[0][1]


@pytest.mark.parametrize("text", ["", "a red circle", "ab" * 37])
def test_one_chunk_is_what_the_pipeline_itself_encodes(pipeline: Any, text: str) -> None:
    with torch.inference_mode():
        mine = long_prompts.encode(pipeline, text, 1)
    embeds, pooled = encoded(pipeline, text)
    assert torch.equal(mine["embeds"], embeds)
    assert pooled is None or torch.equal(mine["pooled"], pooled)


def test_a_long_prompt_is_its_chunks_side_by_side(own: DiffusersEngine, pipeline: Any) -> None:
    mine = image(own, prompt=LONG, negative_prompt=NEGATIVE)
    count = 3
    embeds, pooled = in_pieces(pipeline, LONG, count)
    negative, negative_pooled = in_pieces(pipeline, NEGATIVE, count)
    wanted = request().recipe
    pipeline.scheduler, _ = make_scheduler(pipeline.scheduler, wanted.scheduler)
    both = {"pooled_prompt_embeds": pooled, "negative_pooled_prompt_embeds": negative_pooled}
    with torch.inference_mode():
        theirs = pipeline(
            prompt_embeds=embeds,
            negative_prompt_embeds=negative,
            width=wanted.width,
            height=wanted.height,
            num_inference_steps=wanted.steps,
            guidance_scale=wanted.guidance_scale,
            generator=torch.Generator().manual_seed(wanted.seed),
            **({} if pooled is None else both),
        ).images[0]
    assert distance(mine, np.asarray(theirs)) <= 1


def test_the_end_of_a_long_prompt_counts(own: DiffusersEngine) -> None:
    red, blue = (rendered(own, request(prompt=f"{'star' * 40}on{colour}")) for colour in ("red", "blue"))
    assert distance(np.asarray(red.images[0]), np.asarray(blue.images[0])) > 0
    assert red.warnings == blue.warnings == ()


def test_what_no_chunk_has_room_for_is_named(own: DiffusersEngine) -> None:
    whole = "a" * (ROOM * long_prompts.MAX_CHUNKS)
    cut = rendered(own, request(prompt=whole + "onblue", steps=1))
    assert rendered(own, request(prompt=whole, steps=1)).warnings == ()
    assert [w for w in cut.warnings if "600 tokens" in w and "onblue" in w] == list(cut.warnings) != []


def test_a_long_negative_prompt_counts_only_where_there_is_guidance(own: DiffusersEngine) -> None:
    endless = "b" * (ROOM * long_prompts.MAX_CHUNKS) + "zz"
    assert "negative prompt" in rendered(own, request(negative_prompt=endless, steps=1)).warnings[0]
    assert rendered(own, request(negative_prompt=endless, steps=1, guidance_scale=1.0)).warnings == ()


def test_long_and_short_prompts_in_one_batch_are_drawn_as_alone(model: Path) -> None:
    engine = make_engine(model, max_batch=4)
    wanted = [request(prompt=prompt) for prompt in ("a", LONG, "b")]
    alone = [rendered(engine, each).images[0] for each in wanted]
    together = [result.images[0] for result in finished(engine.render(wanted))]  # type: ignore[union-attr]
    assert [np.asarray(a).tolist() for a in alone] == [np.asarray(t).tolist() for t in together]


@pytest.mark.parametrize(
    ("make", "room"), [(tiny_families.make_flux_pipeline, 511), (tiny_families.make_sd3_pipeline, 255)]
)
def test_transformers_say_what_their_longest_text_encoder_cuts(
    make: Any, room: int, one_thread: None, tmp_path: Path
) -> None:
    engine = make_engine(make(tmp_path / "model"))
    fits, cut = (rendered(engine, request(prompt=text, steps=1, scheduler=None)) for text in ("a" * 100, "a" * 600))
    assert fits.warnings == ()
    assert f"{room} tokens" in cut.warnings[0]


def test_prompts_of_one_batch_go_through_each_text_encoder_together(folder: Path) -> None:
    engine, alone = make_engine(folder, max_batch=4), make_engine(folder)
    calls: list[int] = []
    for part in long_prompts.texts_of(engine.parts.pipeline):
        part.encoder.register_forward_pre_hook(
            lambda _, args, kwargs: calls.append(len(args[0] if args else kwargs["input_ids"])), with_kwargs=True
        )
    asked = [("a", "blur"), ("b", ""), ("ab", "blur"), ("a", "blur")]
    wanted = [request(prompt=prompt, negative_prompt=negative) for prompt, negative in asked]
    made = [np.asarray(result.images[0]) for result in finished(engine.render(wanted))]  # type: ignore[union-attr]
    # Each text once: three prompts, two negative ones.
    assert calls == [5] * len(long_prompts.texts_of(engine.parts.pipeline))
    for one, each in zip(made, wanted, strict=True):
        assert distance(one, np.asarray(rendered(alone, each).images[0])) <= 1
    rendered(engine, wanted[1])
    assert len(calls) == len(long_prompts.texts_of(engine.parts.pipeline)), "they are known now"
