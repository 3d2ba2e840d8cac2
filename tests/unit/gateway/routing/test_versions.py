"""Which version of an adapter a request gets."""

from typing import Any

import pytest
from tests import make
from tests.unit.gateway.fakes import SHA, read, snapshot, with_ready

from lorapool_api.kinds.adapter import Adapter
from lorapool_api.wire.request import AdapterUse, GenerateRequest
from lorapool_gateway.errors import AdapterUnavailable, BadRequest, VersionNotServed
from lorapool_gateway.routing.request import ImageRequest, NamedAdapter
from lorapool_gateway.routing.resolve import resolve, with_files

NEWER = "cd" * 32


def versioned(ready: dict[str, Any] | None = None, **status: Any) -> Adapter:
    """An adapter whose status names versions; its object was edited since."""
    manifest = read(with_ready(make.adapter(metadata={"generation": 7}), ready))
    return Adapter.model_validate(manifest | {"status": manifest["status"] | status})


def version(sha256: str | None, key: str = "default/pixel") -> dict[str, Any]:
    return {"key": key, "source": {"path": "/a"}, "sha256": sha256}


def used(adapter: Adapter) -> AdapterUse:
    asked = GenerateRequest(prompt="a cat", adapters=(AdapterUse(key="default/pixel", scale=0.5),))
    (use,) = with_files(asked, snapshot(adapters=(adapter,))).adapters
    return use


def test_a_request_gets_the_version_that_is_served_whatever_is_edited() -> None:
    use = used(versioned(serving=version(NEWER, "default/pixel@1")))
    assert (use.key, use.sha256, use.scale) == ("default/pixel@1", NEWER, 0.5)


def test_a_version_that_no_pod_has_read_yet_is_what_its_key_says() -> None:
    use = used(versioned(serving=version(None)))
    assert (use.key, use.sha256) == ("default/pixel", None)


def test_an_operator_that_names_no_version_speaks_of_one_generation() -> None:
    with pytest.raises(AdapterUnavailable):
        used(versioned())
    use = used(with_ready(make.adapter()))
    assert (use.key, use.sha256) == ("default/pixel", SHA)


def test_an_adapter_that_is_not_ready_is_not_served_in_any_version() -> None:
    ready = {"status": "False", "reason": "WaitingForPods", "observedGeneration": 7}
    with pytest.raises(AdapterUnavailable):
        used(versioned(ready, serving=version(NEWER)))


def rolling(**more: Any) -> Adapter:
    """One that is served, with a verified candidate and the version before, all from the Hub."""

    def of(sha256: str, key: str) -> dict[str, Any]:
        hub = {"hub": {"repo": "a/b", "revision": f"v{sha256[0]}"}}
        return version(sha256, key) | {"source": hub, "revision": sha256[:40]}

    candidate = of("b" * 64, "default/pixel@2") | {"reason": "Loading", "message": ""}
    status = {
        "serving": of("a" * 64, "default/pixel"),
        "candidate": candidate | {"verifiedTime": "2026-01-01T00:00:00Z"},
        "previous": of("c" * 64, "default/pixel@1"),
    }
    return versioned(**status | more)


def pinned(pin: str, adapter: Adapter | None = None) -> AdapterUse:
    known = snapshot(adapters=(adapter or rolling(),))
    asked = ImageRequest(GenerateRequest(prompt="a cat"), f"pixel@{pin}")
    (use,) = with_files(resolve(asked, known).generate, known).adapters
    return use


@pytest.mark.parametrize(
    ("pin", "key"),
    [
        ("sha256:" + "a" * 64, "default/pixel"),
        ("sha256:" + "b" * 12, "default/pixel@2"),
        ("sha256:" + "c" * 64, "default/pixel@1"),
        ("b" * 40, "default/pixel@2"),
        ("c" * 7, "default/pixel@1"),
        ("va", "default/pixel"),
    ],
)
def test_a_pinned_request_gets_exactly_that_version(pin: str, key: str) -> None:
    use = pinned(pin)
    assert use.key == key
    assert use.sha256 is not None


@pytest.mark.parametrize("pin", ["sha256:" + "d" * 64, "d" * 40, "main", "b" * 6])
def test_a_version_that_there_is_not_is_refused_with_those_that_there_are(pin: str) -> None:
    with pytest.raises(VersionNotServed) as refused:
        pinned(pin)
    assert [shown[:12] for shown in refused.value.versions] == ["sha256:aaaaa", "sha256:bbbbb", "sha256:ccccc"]
    assert not refused.value.should_retry


@pytest.mark.parametrize("pin", ["sha256:" + "a" * 11, "sha256:xyz", ""])
def test_what_is_no_pin_is_a_bad_request(pin: str) -> None:
    with pytest.raises(BadRequest):
        pinned(pin)


def test_a_candidate_that_no_pod_has_verified_cannot_be_pinned() -> None:
    unverified = version("b" * 64, "default/pixel@2") | {"reason": "Downloading", "message": ""}
    with pytest.raises(VersionNotServed):
        pinned("sha256:" + "b" * 64, rolling(candidate=unverified))


def test_a_pin_is_kept_while_the_request_is_held() -> None:
    known = snapshot(adapters=(rolling(),))
    held = resolve(ImageRequest(GenerateRequest(prompt="a cat"), "pixel@va"), known).generate
    gone = snapshot(adapters=(versioned(serving=version("b" * 64, "default/pixel@2")),))
    with pytest.raises(VersionNotServed):
        with_files(held, gone)


def test_one_adapter_in_two_versions_is_refused() -> None:
    loras = (NamedAdapter("pixel@va", 0.5),)
    asked = ImageRequest(GenerateRequest(prompt="a cat"), "pixel@vb", loras)
    with pytest.raises(BadRequest, match="two versions"):
        resolve(asked, snapshot(adapters=(rolling(),)))


def test_a_base_has_no_versions() -> None:
    with pytest.raises(BadRequest, match="has no versions"):
        resolve(ImageRequest(GenerateRequest(prompt="a cat"), "shapes@main"), snapshot())
