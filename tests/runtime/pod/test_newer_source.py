"""An operator of a newer version names sources of kinds that this pod does not know."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import pytest
from tests.runtime.pods import Running, config, entry, eventually, settings, started, write_adapter

from lorapool_api.kinds.conditions import Reason
from lorapool_api.wire.state import AdapterPhase

KEY: Final = "default/hologram"
NEWER: Final = {"key": KEY, "source": {"kind": "hologram", "plate": 7}}


@pytest.fixture
async def pod(tmp_path: Path) -> AsyncIterator[Running]:
    async with started(settings(tmp_path, config(tmp_path))) as running:
        yield running


async def put(pod: Running, *entries: dict[str, Any]) -> int:
    reply = await pod.control.put("/v1/catalog", json={"digest": "newer", "entries": list(entries)})
    return reply.status_code


async def test_a_source_that_only_newer_pods_know_concerns_its_own_adapter(pod: Running, tmp_path: Path) -> None:
    known = entry(write_adapter(tmp_path, "known")).model_dump(mode="json")
    assert await put(pod, known, NEWER) == 200
    assert (await pod.until("default/known")).phase is AdapterPhase.READY
    refused = await pod.until(KEY)
    assert (refused.phase, refused.reason) == (AdapterPhase.FAILED, Reason.INVALID_SPEC)
    assert "'hologram'" in refused.message
    await eventually(lambda: pod.runtime.not_ready is None)
    assert (await pod.generate(adapters=[{"key": "default/known"}])).status_code == 200


async def test_a_broken_source_of_a_known_kind_is_none_of_another_kind(pod: Running) -> None:
    assert await put(pod, NEWER | {"source": {"kind": "url"}}) == 400


@pytest.mark.parametrize("kind", ["", "x" * 129, "no kind", 7, None])
async def test_a_kind_is_a_word(pod: Running, kind: Any) -> None:
    assert await put(pod, NEWER | {"source": {"kind": kind}}) == 400
