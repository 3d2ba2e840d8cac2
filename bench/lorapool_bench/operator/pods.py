"""Light pods in one process: `python -m lorapool_bench.operator.pods ADDRESS...`.

The control port of `lorapool_api.wire` and nothing behind it: what a pod holds is ready at once. So the figures are the
operator's, and not those of the pods that share its cores.
"""

import asyncio
import hashlib
import json
import sys
import uuid
from contextlib import suppress
from typing import Any, Final

from aiohttp import web

from lorapool_api.names import CONTROL_PORT
from lorapool_api.wire.reply import ErrorCode
from lorapool_common.changes import Changes

_BASE: Final = {"phase": "warm", "revision": "bench", "size_bytes": 1 << 30, "cold_start_s": 1.0}
_MAX_BYTES: Final = 64 << 20

Row = dict[str, Any]


class LightPod:
    """What one pod holds, and what it says of that."""

    def __init__(self) -> None:
        self._instance = uuid.uuid4().hex
        self._digest: str | None = None
        self._assignment: str | None = None
        self._holds: frozenset[str] = frozenset()
        self._entries: dict[str, int] = {}
        self._changed: dict[str, int] = {}
        self._gone: dict[str, int] = {}
        self._news = Changes()

    def app(self) -> web.Application:
        made = web.Application(client_max_size=_MAX_BYTES)
        made.add_routes(
            [
                web.get("/v1/base", self._base),
                web.get("/v1/state", self._state),
                web.put("/v1/assignment", self._assign),
                web.put("/v1/catalog", self._put),
                web.patch("/v1/catalog", self._patch),
            ]
        )
        return made

    async def _base(self, _: web.Request) -> web.Response:
        return web.json_response({"revision": "bench", "modules": {}})

    async def _state(self, request: web.Request) -> web.Response:
        since = int(request.query["since"])
        if request.query["instance"] != self._instance:
            return self._answer()
        await self._news.beyond(since, float(request.query["wait"]))
        return self._answer(since)

    async def _assign(self, request: web.Request) -> web.Response:
        body = json.loads(await request.read())
        before, self._holds, self._assignment = self._holds, frozenset(body["holds"]), body["digest"]
        changed = set(before ^ self._holds)
        if (delta := body.get("delta")) and delta["base"] == self._digest:
            changed |= self._changed_by(delta)
        self._note(changed)
        return self._answer(self._news.version - 1)

    async def _put(self, request: web.Request) -> web.Response:
        body = json.loads(await request.read())
        gone, self._digest = set(self._entries), body["digest"]
        self._entries = {row["key"]: row["generation"] for row in body["entries"]}
        self._note({*self._entries, *gone})
        return self._answer()

    async def _patch(self, request: web.Request) -> web.Response:
        body = json.loads(await request.read())
        if body["base"] != self._digest:
            refusal = {"code": ErrorCode.DIGEST_MISMATCH, "message": f"holds {self._digest}"}
            return web.json_response(refusal, status=409)
        self._note(self._changed_by(body))
        return self._answer(self._news.version - 1)

    def _changed_by(self, delta: Row) -> set[str]:
        """Keys of what another catalog changes."""
        self._digest = delta["digest"]
        for key in delta["remove"]:
            self._entries.pop(key, None)
        self._entries |= {row["key"]: row["generation"] for row in delta["upsert"]}
        return {*delta["remove"], *(row["key"] for row in delta["upsert"])}

    def _note(self, keys: set[str] | frozenset[str]) -> None:
        """These have changed, or have gone."""
        version = self._news.note()
        for key in keys:
            is_held = key in self._holds and key in self._entries
            was_held = self._changed.pop(key, None) is not None
            if is_held:
                self._changed[key] = version
                self._gone.pop(key, None)
            elif was_held:
                self._gone[key] = version

    def _answer(self, since: int | None = None) -> web.Response:
        """All that it holds, or what changed after a version."""
        after = -1 if since is None else since
        body = {
            "instance": self._instance,
            "version": self._news.version,
            "digest": self._digest,
            "assignment": self._assignment,
            "base": _BASE,
            "complete": since is None,
            "adapters": {k: self._adapter(k) for k, version in self._changed.items() if version > after},
            "gone": [] if since is None else [k for k, version in self._gone.items() if version > after],
        }
        return web.Response(text=json.dumps(body), content_type="application/json")

    def _adapter(self, key: str) -> Row:
        sha256 = hashlib.sha256(key.encode()).hexdigest()
        facts = {
            "sha256": sha256, "size_bytes": 1 << 25, "rank": 16, "targets": 560, "format": "diffusers",
            "networks": ["lora"], "trigger_words": ["bench style"], "merge_loss": 0.001,
        }  # fmt: skip
        return {"phase": "ready", "tier": "disk", "generation": self._entries[key], "facts": facts}


async def serve(addresses: list[str]) -> None:
    """Until the process is killed."""
    for address in addresses:
        runner = web.AppRunner(LightPod().app(), access_log=None)
        await runner.setup()
        await web.TCPSite(runner, address, CONTROL_PORT).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(serve(sys.argv[1:]))
