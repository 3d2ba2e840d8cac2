"""Pivotal tuning: words that came with an adapter are known to its requests, and to no other."""

import gc
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tests import tiny
from tests.runtime.ask import distance, image, read, reference_image, rendered, request
from tests.runtime.conftest import load_reference

from lorapool_api.kinds.conditions import Reason
from lorapool_runtime.adapters.file import HostAdapter
from lorapool_runtime.engine.diffusers.engine import DiffusersEngine
from lorapool_runtime.engine.diffusers.layers.embeddings import MAX_KEPT, TokenEmbeddings
from lorapool_runtime.errors import AdapterError, RecipeError

WIDTH = 32
PROMPT = "a <s0><s1> b"
WORDS = ["<s0>", "<s1>"]

Rows = dict[str, torch.Tensor]


def rows(seed: int, names: tuple[str, str] = ("clip_l", "clip_g")) -> Rows:
    dice = torch.Generator().manual_seed(seed)
    return {name: torch.randn((2, WIDTH), generator=dice) * 3 for name in names}


def with_words(folder: Path, reference: Any, words: Rows) -> Path:
    folder.mkdir()
    save_file(words, folder / "embeddings.safetensors")
    modules = tiny.attention_modules(reference)[:4]
    return tiny.write_kohya(folder / "a.safetensors", tiny.make_changes(reference, modules))


@pytest.mark.parametrize("names", [("clip_l", "clip_g"), ("text_encoders_0", "text_encoders_1")])
def test_its_words_mean_what_diffusers_takes_them_for(
    names: tuple[str, str], engine: DiffusersEngine, model: Path, tmp_path: Path
) -> None:
    pipeline = load_reference(model)
    file = with_words(tmp_path / "a", pipeline, rows(1, names))
    unknown = reference_image(pipeline, prompt=PROMPT)
    learned = load_file(file.with_name("embeddings.safetensors"))
    pipeline.load_lora_weights(str(file.parent), weight_name=file.name)
    for name, number in zip(names, ("", "_2"), strict=True):
        encoder, tokenizer = getattr(pipeline, f"text_encoder{number}"), getattr(pipeline, f"tokenizer{number}")
        pipeline.load_textual_inversion(learned[name], token=WORDS, text_encoder=encoder, tokenizer=tokenizer)
    wanted = reference_image(pipeline, prompt=PROMPT)

    assert distance(wanted, unknown) > 10
    assert distance(image(engine, (read(engine, file), 1.0), prompt=PROMPT), wanted) <= 1


def test_another_request_does_not_know_them(engine: DiffusersEngine, reference: Any, tmp_path: Path) -> None:
    before = image(engine, prompt=PROMPT)
    first, second = (
        read(engine, with_words(tmp_path / name, reference, rows(seed))) for name, seed in (("a", 1), ("b", 2))
    )
    of_first = image(engine, (first, 1.0), prompt=PROMPT)

    assert (image(engine, prompt=PROMPT) == before).all()
    assert (image(engine, (second, 1.0), prompt=PROMPT) != of_first).any()
    assert (image(engine, (first, 1.0), prompt=PROMPT) == of_first).all()


def test_they_are_forgotten_when_a_request_fails(engine: DiffusersEngine, reference: Any, tmp_path: Path) -> None:
    before = image(engine, prompt=PROMPT)
    adapter = read(engine, with_words(tmp_path / "a", reference, rows(1)))
    with pytest.raises(RecipeError):
        rendered(engine, request((adapter, 1.0), prompt=PROMPT, width=33))

    assert (image(engine, prompt=PROMPT) == before).all()


def test_two_adapters_may_not_bring_the_same_words(engine: DiffusersEngine, reference: Any, tmp_path: Path) -> None:
    stack: list[tuple[HostAdapter, float]] = [
        (read(engine, with_words(tmp_path / str(seed), reference, rows(seed))), 0.5) for seed in (1, 2)
    ]
    with pytest.raises(RecipeError, match="tokens of its own"):
        image(engine, *stack)


def test_the_same_weights_with_other_words_are_another_adapter(
    engine: DiffusersEngine, reference: Any, tmp_path: Path
) -> None:
    first, second = (read(engine, with_words(tmp_path / str(seed), reference, rows(seed))) for seed in (1, 2))
    assert first.sha256 == second.sha256
    assert first.identity != second.identity


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        pytest.param({"clip_l": torch.ones(2, 33)}, Reason.BASE_MODEL_MISMATCH, id="too wide"),
        pytest.param({"clip_l": torch.ones(2, 32, dtype=torch.int32)}, Reason.UNSUPPORTED_FORMAT, id="no floats"),
        pytest.param({"clip_l": torch.ones(64)}, Reason.UNSUPPORTED_FORMAT, id="no table"),
        pytest.param({"clip_l": torch.ones(0, 32)}, Reason.UNSUPPORTED_FORMAT, id="no rows"),
        pytest.param({"t5": torch.ones(2, 32)}, Reason.UNSUPPORTED_FORMAT, id="for no encoder that takes words"),
        pytest.param(
            {"clip_l": torch.ones(2, 32), "clip_g": torch.ones(3, 32)}, Reason.UNSUPPORTED_FORMAT, id="of two minds"
        ),
        pytest.param({"clip_l": torch.full((2, 32), np.nan)}, Reason.INVALID_WEIGHTS, id="not finite"),
        pytest.param({}, Reason.UNSUPPORTED_FORMAT, id="no words"),
    ],
)
def test_words_that_cannot_be_used_are_refused(
    words: Rows, reason: Reason, engine: DiffusersEngine, reference: Any, tmp_path: Path
) -> None:
    with pytest.raises(AdapterError) as error:
        read(engine, with_words(tmp_path / "a", reference, words))
    assert error.value.reason is reason


def test_a_pickle_in_their_place_is_refused(engine: DiffusersEngine, reference: Any, tmp_path: Path) -> None:
    file = with_words(tmp_path / "a", reference, rows(1))
    torch.save(rows(1), file.with_name("embeddings.safetensors"))
    with pytest.raises(AdapterError, match="pickle"):
        read(engine, file)


def test_only_so_many_tokenizers_are_kept(reference: Any) -> None:
    embeddings = TokenEmbeddings(reference)
    made: list[weakref.ref[Any]] = []
    for count in range(1, MAX_KEPT + 4):
        words = tuple(f"<s{i}>" for i in range(count))
        with embeddings.with_tokens(words, {"text_encoder": torch.zeros(count, WIDTH)}):
            made.append(weakref.ref(reference.tokenizer))
    gc.collect()
    assert [tokenizer() is None for tokenizer in made] == [True] * 3 + [False] * MAX_KEPT
