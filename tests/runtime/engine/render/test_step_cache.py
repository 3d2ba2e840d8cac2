"""A pool's step cache: what is skipped, and that nothing of it outlives the picture that it was for."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from diffusers import FirstBlockCacheConfig
from PIL import Image
from safetensors.torch import load_file, save_file
from tests import tiny
from tests.families.own import OwnPipeline, changes_of, left_half, picture
from tests.families.table import TINY
from tests.runtime.ask import Pixels, distance, finished, image, read, rendered, request
from tests.runtime.conftest import make_engine

from lorapool_api.kinds.base_model import Offload
from lorapool_api.kinds.serving import ApplyMode, CompileMode, Serving
from lorapool_api.kinds.speed.step_cache import StepCache
from lorapool_api.wire.request import Upscaler
from lorapool_api.wire.weighting.scale import Weighting
from lorapool_runtime.adapters.file import HostAdapter
from lorapool_runtime.engine.diffusers.engine import DiffusersEngine
from lorapool_runtime.engine.diffusers.families.table import FAMILIES
from lorapool_runtime.engine.diffusers.families.traits import Task
from lorapool_runtime.engine.diffusers.render.passes.step_cache import pass_cache
from lorapool_runtime.engine.passes import Hires, Start
from lorapool_runtime.errors import ModelError, RecipeError, Stopped

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.timeout(300)]

# Flux.1 has one forward in a step; the others have a guided and an unguided one, each with the hooks' own state.
NAMES = ("Flux.1", "Qwen-Image", "CogView4")
EDITING = ("Qwen-Image-Edit", "Qwen-Image-Edit Plus")
LOUDER = 8
STEPS, ROUNDING, SEEN = 8, 2, 4
SKIPPING = StepCache(threshold=0.5)
ASKED: dict[str, Any] = {"scheduler": None, "steps": STEPS}


def make_loud(name: str, folder: Path) -> Path:
    """The family's tiny base, whose blocks change a picture so much that a skipped one is seen."""
    made = TINY[name].make(folder / "model")
    (file,) = (made / "transformer").glob("*.safetensors")
    weights = load_file(file)
    for part, weight in weights.items():
        if weight.dim() == 2 and "transformer_blocks" in part and not part.startswith("transformer_blocks.0."):
            weight.mul_(LOUDER)
    save_file(weights, file, {"format": "pt"})
    return made


@pytest.fixture(scope="module")
def bases(one_thread: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {name: make_loud(name, tmp_path_factory.mktemp("bases")) for name in NAMES}


@pytest.fixture(params=NAMES)
def base(request: pytest.FixtureRequest, bases: dict[str, Path]) -> Path:
    return bases[request.param]


def cached(base: Path, cache: StepCache = SKIPPING, **more: Any) -> DiffusersEngine:
    return make_engine(base, step_cache=cache, **more)


def adapter(engine: DiffusersEngine, folder: Path) -> HostAdapter:
    changes = changes_of(engine.parts.family.name, engine.parts.pipeline)
    return read(engine, tiny.write_diffusers(folder / "a.safetensors", changes))


def ends(engine: DiffusersEngine) -> tuple[Any, ...]:
    """The attention of the first and of the last block of the denoiser."""
    denoiser = engine.parts.pipeline.transformer
    last = getattr(denoiser, "single_transformer_blocks", denoiser.transformer_blocks)[-1]
    first = denoiser.transformer_blocks[0]
    return tuple(block.attn1 if hasattr(block, "attn1") else block.attn for block in (first, last))


@contextmanager
def counted(engine: DiffusersEngine) -> Iterator[Counter[str]]:
    """How often the first and the last block work."""
    seen: Counter[str] = Counter()
    hooks = [
        attention.register_forward_hook(lambda *_, name=name: seen.update([name]))
        for name, attention in zip(("first", "last"), ends(engine), strict=True)
    ]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


def passes(engine: DiffusersEngine) -> int:
    return 1 if engine.parts.family.name == "Flux.1" else 2


def test_steps_that_are_alike_skip_all_blocks_but_the_first_and_the_reply_says_so(base: Path) -> None:
    engine, exact = cached(base), make_engine(base)
    with counted(engine) as seen:
        made = rendered(engine, request(**ASKED))
    assert seen["first"] == STEPS * passes(engine)
    assert passes(engine) <= seen["last"] < seen["first"]
    (said,) = made.warnings
    assert "step cache (FirstBlock, threshold 0.5)" in said
    assert distance(np.asarray(made.images[0]), image(exact, **ASKED)) > SEEN


def test_without_it_every_step_runs_whole(base: Path) -> None:
    engine = make_engine(base)
    with counted(engine) as seen:
        made = rendered(engine, request(**ASKED))
    assert seen["first"] == seen["last"] == STEPS * passes(engine)
    assert made.warnings == ()


def test_with_threshold_0_the_picture_is_the_exact_one(base: Path) -> None:
    engine = cached(base, StepCache(threshold=0))
    with counted(engine) as seen:
        made = image(engine, **ASKED)
    assert seen["last"] == STEPS * passes(engine)
    assert (made == image(make_engine(base), **ASKED)).all()


def test_it_skips_what_diffusers_skips(base: Path) -> None:
    engine = cached(base, StepCache(threshold=1))
    own = OwnPipeline(base, engine.parts.family, Task.TEXT_TO_IMAGE)
    whole = own.image()
    own.pipeline.transformer.enable_cache(FirstBlockCacheConfig(threshold=1))
    theirs = own.image()
    assert distance(theirs, whole) > SEEN
    assert distance(image(engine, scheduler=None), theirs) <= ROUNDING


def test_a_picture_is_that_of_a_fresh_engine_whatever_came_before(base: Path, tmp_path: Path) -> None:
    plain, other = ASKED, ASKED | {"prompt": "blue", "seed": 11}
    # What lasts longer is found more easily where more is skipped.
    most = StepCache(threshold=1)
    fresh = cached(base, most)
    bare = image(fresh, **plain)
    fresh = cached(base, most)
    adapted = image(fresh, (adapter(fresh, tmp_path), 1.0), **plain)
    assert distance(bare, adapted) > SEEN

    engine = cached(base, most)
    change = adapter(engine, tmp_path)
    between: dict[str, Callable[[], object]] = {
        "another prompt": lambda: image(engine, **other),
        "another size": lambda: image(engine, **other | {"width": 2 * tiny.SIZE, "height": 2 * tiny.SIZE}),
        "no guidance": lambda: image(engine, **other | {"guidance_scale": 1.0}),
        "several pictures": lambda: rendered(engine, request(**other, images=2)),
        "an adapter": lambda: image(engine, (change, 1.0), **other),
        "stopped between steps": lambda: stopped(engine, after=2),
        "failed within a step": lambda: failed_within_a_step(engine),
    }
    for what, happens in between.items():
        happens()
        assert (image(engine, **plain) == bare).all(), f"after {what}"
        assert (image(engine, (change, 1.0), **plain) == adapted).all(), f"with an adapter, after {what}"


def stopped(engine: DiffusersEngine, after: int, **more: Any) -> None:
    asked = iter([False] * after)
    wanted = replace(request(**{**ASKED, "seed": 11, **more}), stop=lambda: next(asked, True))
    (result,) = finished(engine.render([wanted]))
    assert isinstance(result, Stopped)


def failed_within_a_step(engine: DiffusersEngine) -> None:
    """Between the first block, whose state is new then, and the last one."""

    def fail(*_: Any) -> None:
        raise ValueError("no")

    hook = ends(engine)[1].register_forward_pre_hook(fail)
    try:
        with pytest.raises(RecipeError, match="no"):
            rendered(engine, request(**ASKED | {"prompt": "blue"}))
    finally:
        hook.remove()


def test_each_picture_is_alone_in_its_forwards(base: Path, tmp_path: Path) -> None:
    engine = cached(base, max_batch=4)
    wanted = request(**ASKED, images=3)
    assert engine.batch(wanted.recipe) == 1
    assert not engine.mixes(adapter(engine, tmp_path))
    made = rendered(engine, wanted)
    assert made.rows == 1
    for picture_, seed in zip(made.images, wanted.recipe.seeds, strict=True):
        assert (np.asarray(picture_) == image(engine, **ASKED, seed=seed)).all()


def exact(base: Path, tmp_path: Path, scale: float | Weighting = 1.0, **more: Any) -> Pixels:
    """What an engine makes that has a cache and does not use it; the same as that of one without."""
    pictures = []
    for engine in (cached(base), make_engine(base)):
        made = rendered(engine, request((adapter(engine, tmp_path), scale), **ASKED, **more))
        assert made.warnings == ()
        pictures.append(np.asarray(made.images[0]))
    assert (pictures[0] == pictures[1]).all()
    return pictures[0]


def test_masked_adapters_run_exactly(bases: dict[str, Path], tmp_path: Path) -> None:
    half = exact(bases["Flux.1"], tmp_path, masks=(left_half(tiny.SIZE),))
    assert distance(half, exact(bases["Flux.1"], tmp_path, masks=(Image.new("L", (tiny.SIZE, tiny.SIZE), 255),))) > 0


def test_scales_by_step_run_exactly(bases: dict[str, Path], tmp_path: Path) -> None:
    exact(bases["Flux.1"], tmp_path, Weighting(steps=((0, 1.0), (0.5, 0.0))))


def test_a_pipeline_that_does_not_name_its_forwards_runs_exactly(bases: dict[str, Path], tmp_path: Path) -> None:
    exact(bases["Flux.1"], tmp_path, start=Start(picture(tiny.SIZE), None, 0.7))


def test_of_two_passes_those_are_cached_whose_pipeline_names_its_forwards(bases: dict[str, Path]) -> None:
    hires = Hires(width=tiny.SIZE // 2, height=tiny.SIZE // 2, steps=4, strength=1.0, upscaler=Upscaler.PIXEL)
    for name in ("Flux.1", "Qwen-Image"):
        engine = cached(bases[name])
        first = image(engine, **ASKED, hires=hires)
        assert (image(engine, **ASKED, hires=hires) == first).all()
        assert len(rendered(engine, request(**ASKED, hires=hires)).warnings) == 1


def test_pictures_to_begin_with_are_cached_where_the_pipeline_names_its_forwards(bases: dict[str, Path]) -> None:
    start = Start(picture(tiny.SIZE), left_half(tiny.SIZE), 0.9)
    engine = cached(bases["Qwen-Image"])
    for begin in (start, replace(start, mask=None)):
        with counted(engine) as seen:
            assert len(rendered(engine, request(**ASKED, start=begin)).warnings) == 1
        assert seen["last"] < seen["first"]


def test_a_base_without_such_blocks_is_refused_by_name(model: Path) -> None:
    with pytest.raises(ModelError, match=r"no step cache for SDXL: leave serving\.stepCache out"):
        cached(model)


@pytest.mark.parametrize("name", EDITING)
def test_a_base_that_edits_is_cached_alike(name: str, tmp_path: Path) -> None:
    base, side = make_loud(name, tmp_path), TINY[name].side
    asked = ASKED | {"width": side, "height": side, "start": Start(picture(side), None, 1.0)}
    engine = cached(base)
    with counted(engine) as seen:
        made = image(engine, **asked)
    assert 2 <= seen["last"] < seen["first"] == 2 * STEPS
    stopped(engine, after=2, **asked | {"seed": 11})
    assert (image(engine, **asked) == made).all()
    assert (image(cached(base, StepCache(threshold=0)), **asked) == image(make_engine(base), **asked)).all()


def test_which_families_have_it() -> None:
    assert {family.name for family in FAMILIES if family.cached} == {*NAMES, *EDITING}
    assert {f.distilled.name for f in FAMILIES if f.distilled and f.distilled.cached} == {"Flux.1 schnell"}


def test_it_goes_with_neither_graphs_nor_groups(bases: dict[str, Path]) -> None:
    flux = next(family for family in FAMILIES if family.cached)
    with pytest.raises(ModelError, match=r"serving\.compile is Off"):
        pass_cache(Serving(step_cache=SKIPPING, compile=CompileMode.DEFAULT), flux)
    with pytest.raises(ModelError, match=r"serving\.stepCache skips some"):
        cached(bases["Flux.1"], mode=ApplyMode.UNMERGED, offload=Offload.GROUP)
