"""A pool as part of the address, for clients that have one address and nothing else to say a pool by."""

import re
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

STATE: Final = "pool"
_PREFIX: Final = re.compile(r"/pools/([a-z0-9.-]{1,63})/([a-z0-9.-]{1,253})(?=/|$)")


class PoolPaths:
    """Middleware: `/pools/NAMESPACE/NAME` before any path stands for the header `x-lorapool-pool`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve what comes behind the pool."""
        found = _PREFIX.match(scope["path"]) if scope["type"] == "http" else None
        if found is None:
            await self._app(scope, receive, send)
            return
        prefix = found[0]
        state = {**scope.get("state", {}), STATE: f"{found[1]}/{found[2]}"}
        raw = scope.get("raw_path") or b""
        rest = {"path": scope["path"][len(prefix) :] or "/", "raw_path": raw[len(prefix) :] or b"/"}
        await self._app({**scope, **rest, "state": state}, receive, send)
