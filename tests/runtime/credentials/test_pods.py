"""A pod that has to ask a source that wants a token: it waits for that, uses it once and keeps it nowhere."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests import files
from tests.runtime.credentials.guarded import (
    CANARY,
    KEY,
    REF,
    SHA256,
    asks,
    deliver,
    entry,
    granted,
    guard,
    refused,
)
from tests.runtime.pods import Running, config, settings, started
from tests.web import Web

from lorapool_api.kinds.conditions import Reason
from lorapool_api.wire.state import AdapterPhase
from lorapool_runtime.settings import Settings


@pytest.fixture
def own(tmp_path: Path, web: Web) -> Settings:
    guard(web)
    return settings(tmp_path, config(tmp_path, url_hosts=(f"http://{web.host}",)))


@pytest.fixture
async def pod(own: Settings) -> AsyncIterator[Running]:
    async with started(own) as running:
        yield running


async def test_it_says_that_it_waits_and_serves_with_what_it_is_given(pod: Running, web: Web) -> None:
    await pod.apply(entry(web))
    await asks(pod)
    assert web.seen == []
    state = await deliver(pod, granted())
    assert state.awaits_credentials == frozenset()
    assert (await pod.until(KEY)).phase is AdapterPhase.READY
    assert (await pod.generate(adapters=[{"key": KEY}])).status_code == 200
    assert web.count("GET", "/private.safetensors") == 1


async def test_a_file_that_is_here_needs_no_token_again(own: Settings, web: Web) -> None:
    async with started(own) as pod:
        await pod.apply(entry(web))
        await asks(pod)
        await deliver(pod, granted())
        await pod.until(KEY)
    async with started(own) as pod:
        assert (await pod.until(KEY)).phase is AdapterPhase.READY
        assert pod.runtime.state().awaits_credentials == frozenset()


async def test_why_there_is_none_is_the_adapters_failure_until_there_is_one(pod: Running, web: Web) -> None:
    await pod.apply(entry(web))
    await asks(pod)
    await deliver(pod, refused("run kubectl create role"))
    state = await pod.until(KEY)
    assert (state.reason, state.message) == (Reason.SECRET_FORBIDDEN, "run kubectl create role")
    await asks(pod)
    await deliver(pod, granted())
    assert (await pod.until(KEY, AdapterPhase.READY)).phase is AdapterPhase.READY


async def test_a_token_that_the_source_does_not_take_is_replaced_without_an_edit(pod: Running, web: Web) -> None:
    await pod.apply(entry(web))
    await asks(pod)
    await deliver(pod, granted("yesterdays"))
    assert (await pod.until(KEY)).reason is Reason.SOURCE_FORBIDDEN
    await asks(pod)
    await deliver(pod, granted())
    assert (await pod.until(KEY, AdapterPhase.READY)).phase is AdapterPhase.READY


async def test_what_nobody_waits_for_is_dropped(pod: Running, web: Web) -> None:
    await deliver(pod, granted())
    await pod.apply(entry(web))
    await asks(pod)
    await deliver(pod, granted(ref=REF.model_copy(update={"secret": "another"})))
    assert KEY in pod.runtime.state().awaits_credentials


async def test_an_adapter_without_the_token_gets_nothing_of_what_another_fetched_with_it(
    pod: Running, web: Web
) -> None:
    await pod.apply(entry(web))
    await asks(pod)
    await deliver(pod, granted())
    assert (await pod.until(KEY)).phase is AdapterPhase.READY
    stranger = entry(web, "other/two", None)
    await pod.apply(entry(web), stranger)
    assert (await pod.until("other/two")).reason is Reason.SOURCE_FORBIDDEN
    assert web.count("GET", "/private.safetensors") == 2


async def test_what_another_secret_opens_is_asked_for_with_that(pod: Running, web: Web) -> None:
    await pod.apply(entry(web))
    await asks(pod)
    await deliver(pod, granted())
    await pod.until(KEY)
    theirs = files.lora_file(seed=9)
    guard(web, "their-token", content=theirs)
    ref = REF.model_copy(update={"namespace": "other"})
    await pod.apply(entry(web), entry(web, "other/two", ref))
    await asks(pod, "other/two")
    await deliver(pod, granted("their-token", ref), "other/two")
    state = await pod.until("other/two")
    assert state.facts is not None
    assert state.facts.sha256 == files.sha256(theirs) != SHA256


async def test_a_stranger_delivers_nothing_and_an_error_quotes_nothing(pod: Running) -> None:
    reply = await pod.control.put("/v1/credentials", headers={"authorization": "Bearer guessed"}, json={})
    assert reply.status_code == 401
    reply = await pod.control.put("/v1/credentials", json={"grants": {KEY: {"ref": {}, "values": {"token": CANARY}}}})
    assert reply.status_code == 400
    assert CANARY not in reply.text
    assert (await pod.control.put("/v1/credentials", content=b"x" * (9 << 20))).status_code == 413


async def test_the_token_is_on_no_disk_in_no_log_and_in_no_answer(
    own: Settings, web: Web, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """One fetch that succeeds, and one that fails: both held the token."""
    caplog.set_level("DEBUG")
    said: list[str] = []
    async with started(own) as pod:
        bad = entry(web, "team/two", sha256="0" * 64)
        await pod.apply(entry(web), bad)
        for key in (KEY, "team/two"):
            await asks(pod, key)
            said.append(str(await deliver(pod, granted(), key)))
        assert (await pod.until(KEY)).phase is AdapterPhase.READY
        assert (await pod.until("team/two")).reason is Reason.CHECKSUM_MISMATCH
        said += [str(await pod.state()), str(pod.runtime.status()), pod.runtime.metrics_text().decode()]
        said.append((await pod.generate(adapters=[{"key": "team/two"}])).text)
    output = capfd.readouterr()
    said += [output.out, output.err, caplog.text]
    kept = [file for file in own.cache.rglob("*") if file.is_file()]
    assert any("catalogs" in file.parts for file in kept)
    assert [file for file in kept if CANARY.encode() in file.read_bytes()] == []
    assert [text for text in said if CANARY in text] == []
