"""Pods that all begin at once ask each other little before they ask the source."""

import asyncio
import threading

from tests.runtime.pods import eventually
from tests.web import Reply, Web

from lorapool_api.wire.catalog import CatalogEntry
from lorapool_api.wire.fleet import Assignment
from lorapool_api.wire.reply import ErrorCode, ErrorReply
from lorapool_api.wire.sources.basic import HubFile
from lorapool_runtime.sources.pods.peers import Peers


def an_entry(number: int) -> CatalogEntry:
    source = HubFile(repo=f"owner/adapter-{number}", revision="a" * 40, file="a.safetensors")
    return CatalogEntry(key=f"default/adapter-{number}", source=source)


async def test_a_pod_is_asked_for_a_few_of_hundreds_of_files_that_it_has_not(web: Web) -> None:
    over, unknown = threading.Event(), ErrorReply(code=ErrorCode.UNKNOWN_ADAPTER, message="", retryable=False)
    web.default = Reply(404, unknown.model_dump_json().encode(), hold=over)
    peers = Peers(lambda: "token")
    peers.follow(Assignment.of("me", {"me": "127.0.0.1:1", "other": web.host}, ()))
    own = [entry for entry in map(an_entry, range(400)) if peers.is_own(entry.key)]
    assert len(own) > 100
    asking = asyncio.gather(*map(peers.find, own))
    await eventually(lambda: web.count("POST", "/v1/files") == 8)
    over.set()
    assert await asking == [None] * len(own)
    # Three in vain are enough; whoever had its turn by then asked too.
    assert web.count("POST", "/v1/files") <= 10
    await peers.close()
