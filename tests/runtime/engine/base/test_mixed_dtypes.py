"""Modules that their library keeps in another dtype than the base: T5's `wo` stays in float32 beside float16."""

from pathlib import Path

import pytest
from diffusers import FluxPipeline
from tests import tiny, tiny_families
from tests.runtime.ask import distance, image, read
from tests.runtime.conftest import make_engine

from lorapool_api.kinds.base_model import Dtype
from lorapool_api.kinds.serving import ApplyMode


@pytest.fixture(scope="module")
def flux(one_thread: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_families.make_flux_pipeline(tmp_path_factory.mktemp("models") / "flux")


@pytest.mark.parametrize("dtype", [Dtype.FLOAT16, Dtype.BFLOAT16])
def test_an_adapter_of_t5_is_the_same_merged_and_unmerged(flux: Path, dtype: Dtype, tmp_path: Path) -> None:
    pipeline = FluxPipeline.from_pretrained(flux)
    names = [n for n, _ in pipeline.text_encoder_2.named_modules() if n.endswith((".wo", ".q"))]
    changes = tiny.make_changes(pipeline, [("text_encoder_2", name) for name in names])
    file = tiny.write_diffusers(tmp_path / "a.safetensors", changes)
    drawn = []
    for mode in (ApplyMode.UNMERGED, ApplyMode.MERGED):
        engine = make_engine(flux, mode, dtype)
        drawn.append(image(engine, (read(engine, file), 1.0), scheduler=None))
    bare = image(engine, scheduler=None)
    assert distance(*drawn) <= 3
    assert distance(drawn[0], bare) > 3
