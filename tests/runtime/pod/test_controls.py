"""Pictures that control others, over HTTP: those of the engine, and hostile ones."""

import base64
import io
import struct
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tests import tiny
from tests.runtime.ask import Pixels, distance
from tests.runtime.conftest import load_reference
from tests.runtime.controls import make_control, picture, specs
from tests.runtime.families.test_pod import decoded
from tests.runtime.pods import Running, config, entry, eventually, settings, started

from lorapool_api.kinds.base_model import BaseModelSpec, Dtype
from lorapool_api.kinds.runtime import EngineName
from lorapool_api.kinds.serving import Serving
from lorapool_api.kinds.sources import ModelSource
from lorapool_api.wire.request import MAX_PICTURE_CHARACTERS

pytestmark = pytest.mark.timeout(600)
SEEN = 4


@pytest.fixture(scope="module")
def net(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_control(tmp_path_factory.mktemp("nets") / "edges", load_reference(model), seed=0)


@pytest.fixture
async def pod(model: Path, net: Path, tmp_path: Path) -> AsyncIterator[Running]:
    """A warm pod with a control, and an adapter `a`."""
    (tmp_path / "adapters").mkdir()
    reference = load_reference(model)
    changes = tiny.make_changes(reference, tiny.attention_modules(reference))
    file = tiny.write_diffusers(tmp_path / "adapters" / "a.safetensors", changes)
    source = ModelSource.model_construct(path=str(model))
    pool = config(
        tmp_path / "adapters",
        engine=EngineName.DIFFUSERS,
        model=BaseModelSpec(source=source, dtype=Dtype.FLOAT32, controls=specs({"edges": net})),
        serving=Serving.model_validate({"defaults": {"width": tiny.SIZE, "height": tiny.SIZE, "steps": 2}}),
    )
    async with started(settings(tmp_path, pool)) as running:
        await running.apply(entry(file))
        await eventually(lambda: running.runtime.not_ready is None)
        await running.until("default/a")
        yield running


def sent(form: str, image: Image.Image | None = None) -> str:
    buffer = io.BytesIO()
    (image or picture(1)).save(buffer, form)
    return base64.b64encode(buffer.getvalue()).decode()


async def drawn(pod: Running, *adapters: str, **body: Any) -> Pixels:
    reply = await pod.generate(**{"adapters": [{"key": key} for key in adapters]} | body)
    assert reply.status_code == 200, reply.text
    return decoded(reply.json()["images"][0]["data"])


def png(width: int, height: int, pixels: bytes = b"") -> str:
    """A PNG of that size by its header, whatever its pixels are."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(pixels)), (b"IEND", b""))
    parts = (struct.pack(">I", len(data)) + kind + data + _crc(kind + data) for kind, data in chunks)
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"".join(parts)).decode()


def _crc(data: bytes) -> bytes:
    return struct.pack(">I", zlib.crc32(data))


async def test_a_picture_controls_the_base_and_its_adapters(pod: Running) -> None:
    edges = [{"name": "edges", "image": sent("PNG")}]
    base = await drawn(pod)
    controlled = await drawn(pod, controls=edges)
    both = await drawn(pod, "default/a", controls=edges)
    off = await drawn(pod, controls=[edges[0] | {"scale": 0}])
    again = await drawn(pod)
    begun = await drawn(pod, controls=edges, image=sent("PNG", Image.fromarray(base)), strength=0.5)
    assert min(distance(a, b) for a, b in ((base, controlled), (controlled, both), (begun, controlled))) > SEEN
    assert distance(off, base) <= 1
    assert (again == base).all()


async def test_what_the_base_takes_counts_its_controls(pod: Running, model: Path, net: Path) -> None:
    base = (await pod.state()).base
    files = [file.stat().st_size for folder in (model, net) for file in folder.rglob("*.safetensors")]
    assert base.size_bytes == pytest.approx(sum(files), rel=0.05)


async def test_a_hostile_picture_is_refused_and_the_pod_serves_on(pod: Running) -> None:
    base = await drawn(pod)
    hostile: dict[str, tuple[Any, int, str]] = {
        "more pixels than are read": (png(5_001, 5_000), 400, "pixels; at most 25000000 are read"),
        "a bomb by its header": (png(60_000, 60_000), 400, "controls.image is no picture"),
        "fewer pixels than its header has": (png(64, 64, bytes(99)), 400, "controls.image is broken"),
        "a format that nobody asked for": (sent("GIF"), 400, "controls.image is no picture"),
        "no picture": (base64.b64encode(b"<svg/>" * 99).decode(), 400, "controls.image is no picture"),
        "half of one": (sent("PNG")[:400], 400, "controls.image is broken"),
        "no base64": ("https://there/x.png", 400, "controls.image is not base64"),
        "more bytes than are read": ("A" * (MAX_PICTURE_CHARACTERS + 4), 400, "controls.0.image"),
        "a number": (7, 400, "controls.0.image"),
    }
    for what, (content, status, why) in hostile.items():
        reply = await pod.generate(controls=[{"name": "edges", "image": content}])
        assert (reply.status_code, why in reply.text) == (status, True), f"{what}: {reply.text[:300]}"
    huge = "A" * MAX_PICTURE_CHARACTERS
    reply = await pod.generate(controls=[{"name": "edges", "image": huge}] * 3)
    assert (reply.status_code, reply.json()["code"]) == (413, "TooLarge")
    reply = await pod.generate(controls=[{"name": "pose", "image": sent("PNG")}])
    assert (reply.status_code, "this pool has no control 'pose': it has edges" in reply.text) == (400, True)
    again = await drawn(pod)
    assert (again == base).all()


async def test_an_adapter_counts_where_its_mask_is_white(pod: Running) -> None:
    def half(left: int, right: int) -> str:
        mask = Image.new("L", (tiny.SIZE, tiny.SIZE), left)
        mask.paste(right, (tiny.SIZE // 2, 0, tiny.SIZE, tiny.SIZE))
        return sent("PNG", mask)

    async def masked(mask: str | None) -> Pixels:
        return await drawn(pod, adapters=[{"key": "default/a", "mask": mask}])

    base, everywhere = await drawn(pod), await masked(None)
    assert distance(await masked(half(255, 255)), everywhere) <= 1
    assert distance(await masked(half(0, 0)), base) <= 1
    left, right = await masked(half(255, 0)), await masked(half(0, 255))
    assert min(distance(a, b) for a, b in ((left, right), (left, base), (right, base), (left, everywhere))) > SEEN
    reply = await pod.generate(adapters=[{"key": "default/a", "mask": png(60_000, 60_000)}])
    assert (reply.status_code, "adapters.mask is no picture" in reply.text) == (400, True)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
async def test_a_control_reads_every_usual_format(pod: Running, form: str) -> None:
    made = await drawn(pod, controls=[{"name": "edges", "image": sent(form)}])
    assert Image.fromarray(made).size == (tiny.SIZE, tiny.SIZE)
