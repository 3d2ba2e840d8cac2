"""`lorapool operator` as a process: what ends it, and how."""

import json
import signal
from pathlib import Path
from typing import Final

import pytest
from tests.unit.operator.operator_process import LEASE, OURS, ApiServer, operator

SIGNALS = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])


@SIGNALS
async def test_a_user_without_a_name_is_enough_and_a_signal_gives_the_lease_back(
    tmp_path: Path, unused_tcp_port: int, number: signal.Signals
) -> None:
    async with operator(tmp_path, unused_tcp_port, ApiServer()) as it:
        await it.until_ready()
        await it.api.until(lambda: it.api.holder == "operator-0")
        it.process.send_signal(number)
        assert (await it.end())[0] == 0
        assert it.api.holder == ""


@SIGNALS
async def test_a_signal_ends_it_while_it_waits_for_its_kinds(
    tmp_path: Path, unused_tcp_port: int, number: signal.Signals
) -> None:
    api = ApiServer(has_crds=False)
    async with operator(tmp_path, unused_tcp_port, api) as it:
        await api.until(lambda: OURS in api.asked)
        it.process.send_signal(number)
        assert (await it.end())[0] == 0


@SIGNALS
async def test_a_signal_ends_it_while_kopf_cannot_start(
    tmp_path: Path, unused_tcp_port: int, number: signal.Signals
) -> None:
    api = ApiServer(answers_discovery=False)
    async with operator(tmp_path, unused_tcp_port, api) as it:
        await api.until(lambda: "/apis" in api.asked and api.holder == "operator-0")
        it.process.send_signal(number)
        assert (await it.end())[0] == 0
        assert api.holder == ""


NEVER_READY: Final = """
import asyncio
from kopf._core.engines import activities
async def never(**_):
    await asyncio.Event().wait()
activities.run_activity = never
"""


@SIGNALS
async def test_a_signal_ends_it_before_kopf_is_ready(
    tmp_path: Path, unused_tcp_port: int, number: signal.Signals
) -> None:
    async with operator(tmp_path, unused_tcp_port, ApiServer(), NEVER_READY) as it:
        await it.api.until(lambda: it.api.holder == "operator-0")
        it.process.send_signal(number)
        assert (await it.end())[0] == 0
        assert it.api.holder == ""


KOPF_FAILS: Final = """
import asyncio
from kopf._core.reactor import observation
async def fail(**_):
    from lorapool_operator.cluster.lease import Election
    while not leading:
        await asyncio.sleep(0.01)
    raise KeyError("getpwuid(): uid not found: 65532")
observation.resource_observer = fail

leading = []
from lorapool_operator.replica import Operator
lead = Operator._lead
async def told(self, context):
    leading.append(True)
    await lead(self, context)
Operator._lead = told
"""


async def test_it_ends_when_kopf_does_and_gives_the_lease_back(tmp_path: Path, unused_tcp_port: int) -> None:
    async with operator(tmp_path, unused_tcp_port, ApiServer(), KOPF_FAILS) as it:
        code, errors = await it.end()
        assert it.api.holder == "", errors
    assert code == 1
    (line,) = (line for line in errors.splitlines() if "ended unexpectedly" in line)
    assert "kopf" in line
    assert "KeyError" in line


async def test_after_an_error_in_a_watch_everything_is_listed_anew(tmp_path: Path, unused_tcp_port: int) -> None:
    error = {"kind": "Status", "code": 500, "message": "etcdserver: no leader"}
    api = ApiServer(watch=json.dumps({"type": "ERROR", "object": error}).encode())
    async with operator(tmp_path, unused_tcp_port, api) as it:
        await api.until(lambda: not api.watch)
        leases = api.asked.count(LEASE)
        await api.until(lambda: api.holder == "operator-0" and api.asked.count(LEASE) > leases + 3)
        await it.until_ready()
        it.process.send_signal(signal.SIGTERM)
        code, errors = await it.end()
    assert code == 0, errors
    assert "a watch has failed" in errors


LEADER_FAILS: Final = """
from lorapool_operator.cluster.watching.relist import Relister
async def fail(self, **_):
    raise RuntimeError("a defect")
Relister.run_until_done = fail
"""


async def test_it_ends_when_the_leaders_work_does_and_gives_the_lease_back(
    tmp_path: Path, unused_tcp_port: int
) -> None:
    async with operator(tmp_path, unused_tcp_port, ApiServer(), LEADER_FAILS) as it:
        code, errors = await it.end()
        assert it.api.holder == "", errors
    assert code == 1
    (line,) = (line for line in errors.splitlines() if "ended unexpectedly" in line)
    assert "the work of the leader" in line
    assert "RuntimeError: a defect" in line


async def test_a_missing_key_is_said_in_a_sentence(tmp_path: Path, unused_tcp_port: int) -> None:
    patch = f"import os\nos.environ['LORAPOOL_KEY_FILE'] = {str(tmp_path / 'none')!r}\n"
    async with operator(tmp_path, unused_tcp_port, ApiServer(), patch) as it:
        code, errors = await it.end()
    assert code == 1
    assert errors.startswith("lorapool operator: the key cannot be read")
