"""A thousand switches in every way there is, and the base is the same to the bit."""

import hashlib
import random
from pathlib import Path

import pytest
from tests.gpu.conftest import load_reference, make_engine
from tests.runtime.ask import adapter_file, image, request
from tests.runtime.files import EVERY

from lorapool_api.kinds.base_model import Dtype
from lorapool_api.kinds.runtime import Device
from lorapool_runtime.engine.diffusers.engine import DiffusersEngine
from lorapool_runtime.errors import AdapterError


def digest(engine: DiffusersEngine) -> str:
    """Over every parameter and buffer of the base, as they are on the device."""
    found = hashlib.sha256()
    for component in ("unet", "text_encoder", "text_encoder_2", "vae"):
        for name, tensor in sorted(getattr(engine.parts.pipeline, component).state_dict().items()):
            found.update(name.encode() + tensor.cpu().float().numpy().tobytes())
    return found.hexdigest()


@pytest.mark.timeout(1800)
@pytest.mark.filterwarnings("ignore:`upcast_vae` is deprecated:FutureWarning")
def test_the_base_is_the_same_after_a_thousand_switches(device: Device, model: Path, tmp_path: Path) -> None:
    engine = make_engine(model, device, Dtype.FLOAT16, max_batch=2)
    held = [
        engine.read(adapter_file(put(load_reference(model), tmp_path / str(i)))) for i, put in enumerate(EVERY.values())
    ]
    before, weights = image(engine, steps=1), digest(engine)
    dice = random.Random(5)  # noqa: S311 -- a test wants the same numbers each time
    for _ in range(1000):
        stack = [(adapter, dice.uniform(-1, 1)) for adapter in dice.choices(held, k=dice.randint(0, 2))]
        if sum(adapter.has_magnitude for adapter, _ in stack) > 1:
            continue
        if dice.random() < 0.1:
            engine.forget(dice.choice(held).identity)
        uses = request(*stack).stack
        try:
            engine.memory.use([use.adapter.identity for use in uses])
            engine.activator.for_all(engine.activator.load(uses), request().recipe, 1)
        except AdapterError as error:
            pytest.fail(f"{error}")
    engine.activator.bare()
    assert digest(engine) == weights
    assert (image(engine, steps=1) == before).all()
