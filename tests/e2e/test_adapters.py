"""From `kubectl apply` to an image: adapters join a running pool, and each image is made by the one asked for."""

import base64
import io
import json
from collections.abc import Iterator

import httpx
import PIL.Image
import pytest
from huggingface_hub import InferenceClient
from PIL import ExifTags
from tests import files, make
from tests.e2e.cluster import Cluster, scratch_namespace, wait_until
from tests.e2e.images import generate, pool_with_files

GOOD = {layout: files.lora_file(layout, seed=i) for i, layout in enumerate(("diffusers", "peft", "kohya"))}
BROKEN = {
    "nan": files.lora_file(seed=10, poison=float("nan")),
    "cut": files.lora_file(seed=11)[:-100],
    "model": files.whole_model_file(),
    "pickle": b"\x80\x02}q\x00." + bytes(200),
    "big-rank": files.lora_file(seed=12, rank=200),
}
FILES = {f"{name}.safetensors": content for name, content in {**GOOD, **BROKEN}.items()}


@pytest.fixture(scope="module")
def cluster(installation: Cluster) -> Iterator[Cluster]:
    """A pool with three adapters, each in another layout, that were applied while it ran."""
    with scratch_namespace(installation, "e2e-adapters") as scratch:
        scratch.apply(*pool_with_files("shapes", scratch.namespace, FILES))
        scratch.wait_ready("bmp", "shapes")
        yield scratch


@pytest.fixture(scope="module")
def pods_before(cluster: Cluster) -> dict[str, str]:
    return cluster.pods("shapes")


@pytest.fixture(scope="module")
def adapters(cluster: Cluster, pods_before: dict[str, str]) -> tuple[str, ...]:
    names = tuple(GOOD)
    cluster.apply(*(make.adapter_manifest(name, cluster.namespace) for name in names))
    cluster.wait_ready("lora", *names, deadline_s=20)
    return names


def test_adapters_join_without_a_new_pod(
    cluster: Cluster, adapters: tuple[str, ...], pods_before: dict[str, str]
) -> None:
    assert cluster.pods("shapes") == pods_before
    assert len(cluster.list("deployments", "lorapool.dev/pool=shapes")) == 1


@pytest.mark.parametrize("name", GOOD)
def test_status_says_what_the_file_is(cluster: Cluster, adapters: tuple[str, ...], name: str) -> None:
    resolved = cluster.get("lora", name)["status"]["resolved"]
    assert resolved["sha256"] == files.sha256(GOOD[name])
    assert (resolved["format"], resolved["rank"], resolved["targets"]) == (name, 4, 1)


def test_each_image_is_made_by_the_adapter_asked_for(cluster: Cluster, adapters: tuple[str, ...]) -> None:
    base = generate(cluster, "shapes")
    assert base.adapters == []
    images = {name: generate(cluster, name) for name in adapters}
    for name, image in images.items():
        assert [a["sha256"] for a in image.adapters] == [files.sha256(GOOD[name])]
    assert len({base.content, *(i.content for i in images.values())}) == len(adapters) + 1
    assert generate(cluster, "shapes").content == base.content
    assert generate(cluster, adapters[0]).content == images[adapters[0]].content


def test_a_stack_of_two_is_neither_of_them(cluster: Cluster, adapters: tuple[str, ...]) -> None:
    both = generate(cluster, "shapes", lora="diffusers:0.8, kohya:0.5")
    assert [(a["key"].partition("/")[2], a["scale"]) for a in both.adapters] == [("diffusers", 0.8), ("kohya", 0.5)]
    assert both.content not in {generate(cluster, n).content for n in ("diffusers", "kohya", "shapes")}


def test_a_stack_with_a_name_is_the_stack_of_its_members(cluster: Cluster, adapters: tuple[str, ...]) -> None:
    members = [{"name": "diffusers", "scale": 0.8}, {"name": "kohya", "scale": 0.5}]
    cluster.apply(make.adapter_manifest("comic", cluster.namespace, source={"stack": members}))
    cluster.wait_ready("lora", "comic")
    named, spelled = generate(cluster, "comic"), generate(cluster, "shapes", lora="diffusers:0.8, kohya:0.5")
    assert named.adapters == spelled.adapters
    assert named.content == spelled.content


def test_openai_shape_makes_images_and_lists_models(cluster: Cluster, adapters: tuple[str, ...]) -> None:
    reply = httpx.post(
        f"{cluster.gateway}/v1/images/generations",
        json={"model": "diffusers", "prompt": "a red circle", "n": 2, "size": "64x64"},
        timeout=30,
    )
    assert reply.status_code == 200, reply.text
    images = [base64.b64decode(d["b64_json"]) for d in reply.json()["data"]]
    assert len(set(images)) == 2
    listed = {m["id"] for m in httpx.get(f"{cluster.gateway}/v1/models", timeout=30).json()["data"]}
    assert {"shapes", *adapters} <= listed


def test_hugging_face_client_goes_on_from_a_picture(cluster: Cluster, adapters: tuple[str, ...]) -> None:
    client = InferenceClient(model=f"{cluster.gateway}/models/shapes", headers={"lora": "diffusers"})
    made = {colour: client.image_to_image(picture(colour), prompt="a red circle", seed=1) for colour in ("red", "blue")}
    again = client.image_to_image(picture("red"), prompt="a red circle", seed=1)
    assert made["red"].size == (48, 32)
    assert made["red"].tobytes() == again.tobytes() != made["blue"].tobytes()


def picture(colour: str) -> bytes:
    """A photo of 48 x 32 pixels that lies on its side in its file."""
    exif = PIL.Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    buffer = io.BytesIO()
    PIL.Image.new("RGB", (32, 48), colour).save(buffer, "JPEG", exif=exif)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("file", "reason", "words"),
    [
        ("nan", "InvalidWeights", "NaN"),
        ("cut", "InvalidWeights", "cut off"),
        ("model", "NotALora", "whole model"),
        ("pickle", "InvalidWeights", "pickle"),
        ("big-rank", "RankTooHigh", "200"),
        ("missing", "SourceNotFound", "missing.safetensors"),
    ],
)
def test_a_bad_file_gets_its_reason_and_hurts_nobody_else(
    cluster: Cluster, adapters: tuple[str, ...], file: str, reason: str, words: str
) -> None:
    name = f"bad-{file}"
    cluster.apply(
        make.adapter_manifest(name, cluster.namespace, path=f"/adapters/{file}.safetensors", modelIds=[f"bad/{file}"])
    )
    assert words.lower() in cluster.wait_reason("lora", name, reason).lower()
    refusal = httpx.post(cluster.gateway, headers={"lora": f"bad/{file}"}, json={"inputs": "a red circle"}, timeout=30)
    assert 400 <= refusal.status_code < 500, refusal.text
    assert generate(cluster, adapters[0]).adapters[0]["sha256"] == files.sha256(GOOD[adapters[0]])
    assert cluster.condition("bmp", "shapes")["status"] == "True"


def test_another_sha256_than_pinned_is_refused(cluster: Cluster, adapters: tuple[str, ...]) -> None:
    cluster.apply(
        make.adapter_manifest(
            "pinned", cluster.namespace, path="/adapters/peft.safetensors", sha256="0" * 64, modelIds=["pinned/one"]
        )
    )
    message = cluster.wait_reason("lora", "pinned", "ChecksumMismatch")
    assert files.sha256(GOOD["peft"])[:12] in message


def test_the_older_of_two_has_a_model_id_until_it_goes(cluster: Cluster, adapters: tuple[str, ...]) -> None:
    cluster.apply(
        make.adapter_manifest("a-older", cluster.namespace, path="/adapters/peft.safetensors", modelIds=["x/y"])
    )
    cluster.wait_ready("lora", "a-older")
    cluster.apply(
        make.adapter_manifest("b-newer", cluster.namespace, path="/adapters/kohya.safetensors", modelIds=["x/y"])
    )
    assert "a-older" in cluster.wait_reason("lora", "b-newer", "NameConflict")
    assert generate(cluster, "x/y").adapters[0]["sha256"] == files.sha256(GOOD["peft"])
    cluster.delete("lora", "a-older")
    cluster.wait_ready("lora", "b-newer")
    wait_until(
        lambda: generate(cluster, "x/y").adapters[0]["sha256"] == files.sha256(GOOD["kohya"]), "the newer has the name"
    )
    cluster.delete("lora", "b-newer")


def test_an_edited_source_is_never_served_from_stale_weights(cluster: Cluster, adapters: tuple[str, ...]) -> None:
    cluster.apply(make.adapter_manifest("edited", cluster.namespace, path="/adapters/peft.safetensors"))
    cluster.wait_ready("lora", "edited")
    cluster.apply(make.adapter_manifest("edited", cluster.namespace, path="/adapters/kohya.safetensors"))
    cluster.wait_ready("lora", "edited")
    wait_until(
        lambda: generate(cluster, "edited").adapters[0]["sha256"] == files.sha256(GOOD["kohya"]), "the new file is used"
    )
    assert cluster.get("lora", "edited")["status"]["resolved"]["sha256"] == files.sha256(GOOD["kohya"])


def test_a_suspended_adapter_is_refused_and_comes_back(cluster: Cluster, adapters: tuple[str, ...]) -> None:
    manifest = make.adapter_manifest("paused", cluster.namespace, path="/adapters/peft.safetensors", suspend=True)
    cluster.apply(manifest)
    cluster.wait_reason("lora", "paused", "Suspended")
    wait_until(
        lambda: "suspend" in httpx.post(cluster.gateway, headers={"lora": "paused"}, json={"inputs": "x"}).text.lower(),
        "the gateway says that it is suspended",
    )
    manifest["spec"]["suspend"] = False
    cluster.apply(manifest)
    cluster.wait_ready("lora", "paused")
    wait_until(lambda: generate(cluster, "paused", check=False).status == 200, "it is served again")


def test_a_deleted_adapter_is_gone_from_the_gateway(cluster: Cluster, adapters: tuple[str, ...]) -> None:
    cluster.apply(make.adapter_manifest("brief", cluster.namespace, path="/adapters/peft.safetensors"))
    cluster.wait_ready("lora", "brief")
    cluster.delete("lora", "brief")
    wait_until(lambda: generate(cluster, "brief", check=False).status == 404, "the gateway no longer knows it")


def test_an_unknown_adapter_is_a_404_that_names_near_misses(cluster: Cluster, adapters: tuple[str, ...]) -> None:
    refusal = generate(cluster, "difusers", check=False)
    assert refusal.status == 404
    assert "diffusers" in json.loads(refusal.content)["error"]


@pytest.mark.parametrize(
    "body",
    [
        b"{broken",
        b"",
        b'{"parameters": {}}',
        b'{"inputs": "x", "parameters": {"width": 100}}',
        b'{"inputs": "x", "parameters": {"width": 65536, "height": 65536}}',
        b'{"inputs": "x", "parameters": {"scheduler": "no such"}}',
        b'{"inputs": "x", "parameters": {"num_inference_steps": 100000}}',
        b'{"inputs": {"a": 1}}',
        b'{"inputs": "' + b"x" * 3_000_000 + b'"}',
    ],
)
def test_a_bad_request_is_one_clear_sentence(cluster: Cluster, adapters: tuple[str, ...], body: bytes) -> None:
    refusal = httpx.post(
        cluster.gateway, headers={"lora": "diffusers", "content-type": "application/json"}, content=body, timeout=30
    )
    assert 400 <= refusal.status_code < 500, refusal.text[:500]
    assert isinstance(refusal.json()["error"], str)
