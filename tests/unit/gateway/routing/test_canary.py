"""Which requests get the version that a canary tries."""

from typing import Any

import pytest
from tests import make
from tests.unit.gateway.fakes import read, snapshot, with_ready

from lorapool_api.kinds.adapter import Adapter
from lorapool_api.wire.request import AdapterUse, GenerateRequest
from lorapool_gateway.routing.request import ResolvedRequest
from lorapool_gateway.routing.resolve import with_files

OLD, NEW = "a" * 64, "b" * 64
REQUEST = GenerateRequest(prompt="a cat", adapters=(AdapterUse(key="default/pixel"),))


def tried(percent: int | None, key: str = "default/pixel@2") -> Adapter:
    """One whose candidate that share of requests gets."""
    manifest = read(with_ready(make.adapter()))
    known: dict[str, Any] = {"source": {"path": "/a"}}
    candidate = known | {"key": key, "sha256": NEW, "reason": "Canary", "message": "", "percent": percent}
    status = {"serving": known | {"key": "default/pixel", "sha256": OLD}, "candidate": candidate}
    return Adapter.model_validate(manifest | {"status": manifest["status"] | status})


def got(adapter: Adapter, *, seed: int | None = None, caller: bytes = b"", chance: bytes = b"") -> str | None:
    """The sha256 of the file that a request with that seed, of that caller, is to be made with."""
    request = ResolvedRequest("default/shapes", REQUEST.model_copy(update={"seed": seed})).drawn(caller, chance)
    (use,) = with_files(request.generate, snapshot(adapters=(adapter,)), request.draw).adapters
    assert use.key == ("default/pixel@2" if use.sha256 == NEW else "default/pixel")
    return use.sha256


@pytest.mark.parametrize("percent", [1, 10, 50, 99])
def test_as_many_as_it_says(percent: int) -> None:
    made = [got(tried(percent), seed=seed) for seed in range(2000)]
    assert made.count(NEW) == pytest.approx(20 * percent, abs=80)


def test_without_a_share_nobody() -> None:
    assert {got(tried(None), seed=seed) for seed in range(200)} == {OLD}


def test_a_seed_gets_the_same_version_whoever_asks_and_wherever() -> None:
    for seed in range(50):
        assert len({got(tried(50), seed=seed, caller=bytes([n]), chance=bytes([n])) for n in range(20)}) == 1


def test_without_a_seed_a_caller_gets_the_same_version() -> None:
    for caller in range(1, 50):
        assert len({got(tried(50), caller=bytes([caller]), chance=bytes([n])) for n in range(20)}) == 1


def test_without_either_it_is_chance() -> None:
    assert {got(tried(50), chance=bytes([n])) for n in range(40)} == {OLD, NEW}


def test_a_share_that_grows_keeps_those_that_it_had() -> None:
    smaller = {seed for seed in range(500) if got(tried(10), seed=seed) == NEW}
    assert smaller < {seed for seed in range(500) if got(tried(30), seed=seed) == NEW}


def test_a_pin_goes_before_it() -> None:
    pinned = REQUEST.model_copy(update={"adapters": (AdapterUse(key="default/pixel", sha256=OLD),)})
    for n in range(20):
        (use,) = with_files(pinned, snapshot(adapters=(tried(99),)), bytes([n])).adapters
        assert use.sha256 == OLD
