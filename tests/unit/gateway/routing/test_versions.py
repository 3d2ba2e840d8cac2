"""Which version of an adapter a request gets."""

from typing import Any

import pytest
from tests import make
from tests.unit.gateway.fakes import SHA, read, snapshot, with_ready

from lorapool_api.kinds.adapter import Adapter
from lorapool_api.wire.request import AdapterUse, GenerateRequest
from lorapool_gateway.errors import AdapterUnavailable
from lorapool_gateway.routing.resolve import with_files

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
