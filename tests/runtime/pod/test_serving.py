"""The serving port: what a client and the gateway get."""

import asyncio
import base64
import gc
import json
from collections.abc import AsyncIterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tests import files
from tests.runtime.pods import Running, config, entry, eventually, settings, started, write_adapter

from lorapool_api.kinds.conditions import Reason
from lorapool_api.kinds.runtime import StubTimings
from lorapool_api.kinds.serving import Serving
from lorapool_api.wire import bundle
from lorapool_api.wire.reply import GenerateReply
from lorapool_api.wire.request import GENERATE_MAX_BYTES, GenerateRequest
from lorapool_api.wire.state import AdapterPhase, ServingStatus, Tier
from lorapool_runtime.adapters.file import HostAdapter
from lorapool_runtime.engine.contract import RenderRequest
from lorapool_runtime.engine.result import Result
from lorapool_runtime.engine.stub import StubEngine
from lorapool_runtime.errors import DeviceLost

SLOW = StubTimings(step_milliseconds=200)


@pytest.fixture
async def pod(tmp_path: Path) -> AsyncIterator[Running]:
    """A warm pod with the adapters `one` and `two`."""
    root = tmp_path / "adapters"
    paths = [write_adapter(root, "one", seed=1), write_adapter(root, "two", layout="kohya", seed=2)]
    async with started(settings(tmp_path, config(root))) as running:
        await running.apply(*(entry(p) for p in paths))
        for path in paths:
            assert (await running.until(f"default/{path.stem}")).phase is AdapterPhase.READY
        yield running


async def test_a_reply_tells_what_made_the_image(pod: Running, tmp_path: Path) -> None:
    uses = [{"key": "default/one", "scale": 0.5}]
    reply = GenerateReply.model_validate((await pod.generate(adapters=uses)).raise_for_status().json())

    image = Image.open(BytesIO(base64.b64decode(reply.images[0].data)))
    assert (image.format, image.size) == ("PNG", (64, 64))
    assert (reply.pod, reply.base, reply.images[0].seed) == ("shapes-0", "/models/shapes-xl", 1)
    used = reply.adapters[0]
    assert used.sha256 == files.sha256((tmp_path / "adapters" / "one.safetensors").read_bytes())
    assert (used.key, used.scale) == ("default/one", 0.5)


async def test_a_client_that_accepts_an_image_gets_the_image(pod: Running) -> None:
    reply = await pod.serving.post(
        "/v1/generate",
        json={"prompt": "a circle", "seed": 5, "adapters": [{"key": "default/two"}]},
        headers={"accept": "image/webp"},
    )
    assert reply.headers["content-type"] == "image/webp"
    assert Image.open(BytesIO(reply.content)).format == "WEBP"
    assert reply.headers["x-lorapool-pod"] == "shapes-0"
    assert reply.headers["x-lorapool-seed"] == "5"
    assert json.loads(reply.headers["x-lorapool-adapters"])[0]["key"] == "default/two"
    assert "inference;dur=" in reply.headers["server-timing"]


async def test_the_gateway_gets_the_images_as_they_are_with_the_whole_reply(pod: Running) -> None:
    asked = {"prompt": "a circle", "seed": 5, "images": 2, "adapters": [{"key": "default/two"}]}
    as_json = GenerateReply.model_validate((await pod.serving.post("/v1/generate", json=asked)).json())
    answer = await pod.serving.post("/v1/generate", json=asked, headers={"accept": f"{bundle.MEDIA_TYPE}, */*"})

    assert answer.headers["content-type"] == bundle.MEDIA_TYPE
    reply, images = bundle.split(answer.content)
    assert [bytes(image) for image in images] == [base64.b64decode(image.data) for image in as_json.images]
    assert [image.seed for image in reply.images] == [5, 6]
    assert (reply.adapters, reply.pod, reply.width) == (as_json.adapters, as_json.pod, as_json.width)


async def test_every_part_of_a_request_shows_in_the_bytes(pod: Running) -> None:
    variants: list[dict[str, Any]] = [
        {},
        {"prompt": "a square"},
        {"seed": 2},
        {"steps": 3},
        {"adapters": [{"key": "default/one"}]},
        {"adapters": [{"key": "default/two"}]},
        {"adapters": [{"key": "default/one", "scale": 0.5}]},
        {"adapters": [{"key": "default/one"}, {"key": "default/two"}]},
    ]
    images = [(await pod.generate(**v)).json()["images"][0]["data"] for v in variants]

    assert len(set(images)) == len(variants)
    assert (await pod.generate()).json()["images"][0]["data"] == images[0], "base again is not base"


async def test_a_bare_name_means_the_pools_namespace(pod: Running) -> None:
    reply = await pod.generate(adapters=[{"key": "one"}])
    assert reply.json()["adapters"][0]["key"] == "default/one"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"width": 60}, "width 60 is not a positive multiple of 8"),
        ({"height": 0}, "height 0 is not a positive multiple of 8"),
        ({"width": 8192, "height": 8192}, "67108864 pixels; at most 2359296"),
        ({"steps": 101}, "steps 101 is not between 1 and 100"),
        ({"steps": 0}, "steps 0 is not between 1 and 100"),
        ({"images": 5}, "images 5 is not between 1 and 4"),
        ({"scheduler": "magic"}, "scheduler: "),
        ({"prompt": "  "}, "prompt must not be empty"),
        ({"prompt": None}, "prompt: "),
        ({"adapters": [{"key": "one", "scale": 1e9}]}, "adapters.0.scale: "),
        ({"adapters": [{"key": "one"}] * 9}, "adapters: "),
        ({"seed": -1}, "seed: "),
        ({"width": "wide"}, "width: "),
    ],
)
async def test_bad_values_are_refused_in_one_sentence(pod: Running, body: dict[str, Any], says: str) -> None:
    reply = await pod.generate(**body)

    assert reply.status_code == 400
    assert reply.json()["code"] == "InvalidRequest"
    assert says in reply.json()["message"]
    assert reply.json()["retryable"] is False


@pytest.mark.parametrize("content", [b'{"prompt": ', b"", b"[]", b'"prompt"', b"\xff\xfe", b"{}", b"nonsense"])
async def test_broken_bodies_are_refused(pod: Running, content: bytes) -> None:
    reply = await pod.serving.post("/v1/generate", content=content)
    assert (reply.status_code, reply.json()["code"]) == (400, "InvalidRequest")


async def test_a_huge_body_is_refused_before_it_is_read(pod: Running) -> None:
    reply = await pod.serving.post("/v1/generate", content=b"x" * (GENERATE_MAX_BYTES + 1))
    assert (reply.status_code, reply.json()["code"]) == (413, "TooLarge")


async def test_an_unknown_adapter_is_not_found(pod: Running) -> None:
    reply = await pod.generate(adapters=[{"key": "default/three"}])
    assert (reply.status_code, reply.json()["code"]) == (404, "UnknownAdapter")
    assert "default/three" in reply.json()["message"]


async def test_another_file_than_asked_for_is_never_used(pod: Running) -> None:
    reply = await pod.generate(adapters=[{"key": "default/one", "sha256": "0" * 64}])
    assert (reply.status_code, reply.json()["code"], reply.json()["retryable"]) == (409, "AdapterNotReady", True)


async def test_a_failed_adapter_says_why_and_the_others_go_on(pod: Running, tmp_path: Path) -> None:
    bad = write_adapter(tmp_path / "adapters", "bad", poison=float("nan"))
    good = [entry(tmp_path / "adapters" / f"{n}.safetensors") for n in ("one", "two")]
    await pod.apply(entry(bad), *good)
    await pod.until("default/bad", AdapterPhase.FAILED)

    reply = await pod.generate(adapters=[{"key": "default/bad"}])
    assert (reply.status_code, reply.json()["code"]) == (422, "AdapterFailed")
    assert reply.json()["reason"] == Reason.INVALID_WEIGHTS
    assert (await pod.generate(adapters=[{"key": "default/one"}])).status_code == 200


async def test_unknown_routes_answer_in_the_same_shape(pod: Running) -> None:
    assert (await pod.serving.get("/nothing")).status_code == 404
    assert (await pod.serving.get("/v1/generate")).json()["code"] == "InvalidRequest"


async def test_status_and_metrics_tell_where_adapters_are(pod: Running) -> None:
    await pod.generate(adapters=[{"key": "default/one"}])
    status = ServingStatus.model_validate((await pod.serving.get("/v1/status")).json())
    metrics = (await pod.serving.get("/metrics")).text

    assert status.ready
    assert status.tiers == {"default/one": Tier.DEVICE, "default/two": Tier.HOST}
    assert 'lorapool_runtime_requests_total{outcome="Ok"} 1.0' in metrics
    assert 'lorapool_runtime_adapters{tier="device"} 1.0' in metrics


async def test_a_pod_without_a_catalog_is_alive_but_not_ready(tmp_path: Path) -> None:
    async with started(settings(tmp_path, config(tmp_path))) as running:
        assert (await running.serving.get("/healthz")).status_code == 200
        assert (await running.serving.get("/readyz")).status_code == 503
        await running.apply()
        await eventually(lambda: running.runtime.not_ready is None)
        assert (await running.serving.get("/readyz")).status_code == 200


async def test_a_pod_whose_base_is_loading_says_so(tmp_path: Path) -> None:
    loading = config(tmp_path, StubTimings(load_milliseconds=1000))
    async with started(settings(tmp_path, loading)) as running:
        reply = await running.generate()
        assert (reply.status_code, reply.json()["code"], reply.json()["retryable"]) == (503, "NotReady", True)
        assert "retry-after" in reply.headers


async def test_more_than_may_wait_are_refused_at_once(tmp_path: Path) -> None:
    full = config(tmp_path, SLOW, serving=Serving.model_validate({"maxPending": 2, "defaults": {"steps": 2}}))
    async with started(settings(tmp_path, full)) as running:
        await running.apply()
        await eventually(lambda: running.runtime.not_ready is None)
        running_one = asyncio.create_task(running.generate(width=64, height=64))
        await eventually(lambda: running.runtime.status().running == 1)
        waiting = [asyncio.create_task(running.generate(width=64, height=64)) for _ in range(2)]
        await eventually(lambda: running.runtime.status().pending == 2)

        refused = await running.generate()
        assert (refused.status_code, refused.json()["code"]) == (429, "TooManyPending")
        assert int(refused.headers["retry-after"]) > 0
        assert [(await task).status_code for task in (running_one, *waiting)] == [200, 200, 200]


async def test_no_image_in_time_is_a_timeout_and_the_queue_goes_on(tmp_path: Path) -> None:
    strict = Serving.model_validate({"requestTimeoutSeconds": 1, "defaults": {"steps": 1, "width": 64, "height": 64}})
    async with started(settings(tmp_path, config(tmp_path, SLOW, serving=strict))) as running:
        await running.apply()
        await eventually(lambda: running.runtime.not_ready is None)
        reply = await running.generate(steps=100)
        assert (reply.status_code, reply.json()["code"]) == (504, "Timeout")
        assert (await running.generate()).status_code == 200


async def test_a_client_that_has_gone_is_not_served(tmp_path: Path) -> None:
    async with started(settings(tmp_path, config(tmp_path, SLOW))) as running:
        await running.apply()
        await eventually(lambda: running.runtime.not_ready is None)
        hasty = asyncio.create_task(running.generate(steps=100))
        await eventually(lambda: running.runtime.status().running == 1)
        hasty.cancel()

        # 100 steps of 200 ms: only giving it up between steps frees the engine in time.
        await eventually(lambda: running.runtime.status().running == 0)
        assert (await running.generate(steps=1)).status_code == 200
        assert 'outcome="ClientGone"} 1.0' in (await running.serving.get("/metrics")).text


async def test_a_pod_out_of_service_is_neither_live_nor_ready_and_sends_requests_elsewhere(tmp_path: Path) -> None:
    class Lost(StubEngine):
        def render(self, requests: Sequence[RenderRequest[HostAdapter]], waiting: int = 0) -> Sequence[Result]:
            raise DeviceLost("an illegal access")

    async with started(settings(tmp_path, config(tmp_path)), lambda _: Lost("x", StubTimings()), fails=True) as running:
        await running.apply()
        await eventually(lambda: running.runtime.not_ready is None)
        assert (await running.generate()).status_code == 503
        for path in ("/healthz", "/readyz"):
            reply = await running.serving.get(path)
            assert (reply.status_code, reply.json()["message"]) == (503, "the device is lost: an illegal access"), path
        assert not (await running.serving.get("/v1/status")).json()["ready"]
        refused = await running.generate()
        assert (refused.status_code, refused.json()["code"], refused.json()["retryable"]) == (503, "NotReady", True)


async def test_the_status_tells_what_changed_to_who_says_what_it_knows(tmp_path: Path) -> None:
    one, two = (write_adapter(tmp_path / "adapters", name, seed=i) for i, name in enumerate(("one", "two")))
    async with started(settings(tmp_path, config(tmp_path / "adapters"))) as running:

        async def status(**known: str | int) -> dict[str, Any]:
            return dict((await running.serving.get("/v1/status", params=known)).raise_for_status().json())

        await running.apply(entry(one), entry(two))
        for name in ("one", "two"):
            await running.until(f"default/{name}", AdapterPhase.READY)
        whole = await status()
        assert (whole["complete"], sorted(whole["tiers"])) == (True, ["default/one", "default/two"])
        known = {"since": whole["version"], "instance": whole["instance"]}
        unchanged = await status(**known)
        assert (unchanged["complete"], unchanged["tiers"], unchanged["gone"]) == (False, {}, [])
        assert (await running.generate(adapters=[{"key": "one"}])).status_code == 200
        assert (await status(**known))["tiers"] == {"default/one": "device"}
        await running.apply(entry(one))
        assert (await status(**known))["gone"] == ["default/two"]
        # A question that cannot be answered is answered in full.
        assert (await status(since=whole["version"], instance="another"))["complete"]
        assert (await status(since="x", instance=whole["instance"]))["complete"]


def _bodies() -> list[GenerateRequest]:
    gc.collect()
    return [found for found in gc.get_objects() if type(found) is GenerateRequest and found.image is not None]


async def test_a_request_that_waits_keeps_its_pictures_once_and_not_their_text(tmp_path: Path) -> None:
    buffer = BytesIO()
    Image.new("RGB", (64, 64), "red").save(buffer, "PNG")
    picture = base64.b64encode(buffer.getvalue()).decode()
    of_other_tests = _bodies()
    async with started(settings(tmp_path, config(tmp_path, SLOW))) as running:
        await running.apply()
        await eventually(lambda: running.runtime.not_ready is None)
        asking = [asyncio.create_task(running.generate(image=picture, seed=seed, steps=100)) for seed in range(3)]
        await eventually(lambda: running.runtime.status().pending == 2)
        # The thread that decoded lets go a moment after its result is there.
        await eventually(lambda: all(any(body is other for other in of_other_tests) for body in _bodies()))
        assert running.runtime.status().pending == 2, "the requests are still there"
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
