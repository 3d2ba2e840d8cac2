"""The small Hub as a process that counts what it is asked: `python -m lorapool_bench.fleet.hub FOLDER PORT`."""

import sys
from collections import Counter
from pathlib import Path
from typing import Final

import uvicorn
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from lorapool_hub import repos
from lorapool_hub.app import SmallHub, make_app

OWNER: Final = "bench"
COUNTS: Final = "/counts"


class Counting:
    """The app, with the downloads of each file counted, and all that was asked."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._downloads: Counter[str] = Counter()
        self._asked = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == COUNTS:
            most = max(self._downloads.values(), default=0)
            counts = {"most": most, "downloads": self._downloads.total(), "asked": self._asked}
            self._downloads.clear()
            self._asked = 0
            await JSONResponse(counts)(scope, receive, send)
            return
        if scope["type"] == "http":
            self._asked += 1
            if scope["method"] == "GET" and scope["path"].endswith(".safetensors"):
                self._downloads[scope["path"]] += 1
        await self._app(scope, receive, send)


if __name__ == "__main__":
    # Found once: to look through a thousand folders takes longer than anything that the pods do with a request.
    found = repos.find(Path(sys.argv[1]), OWNER)
    app = make_app(SmallHub(folders=lambda: found))
    uvicorn.run(Counting(app), host="127.0.0.1", port=int(sys.argv[2]), lifespan="off", log_level="warning")
