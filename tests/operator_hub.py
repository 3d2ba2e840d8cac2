"""A Hub for the operator's tests: the calls that resolving an adapter makes, and faults to order."""

import asyncio
import hashlib
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

COMMIT = "c0ffee" + "0" * 34


@dataclass
class Repo:
    """A repository of the Hub. `status` answers every call about it with that HTTP status; one with a `token` is there
    for who has that alone; of one that `hangs` nobody learns anything."""

    files: dict[str, bytes]
    base_model: str | list[str] | None = None
    gallery: object = None
    commit: str = COMMIT
    status: int = 200
    error_code: str = ""
    token: str | None = None
    hangs: bool = False


@dataclass
class FakeHub:
    """Serves repositories on a free port of 127.0.0.1, and any file below /plain."""

    repos: dict[str, Repo] = field(default_factory=dict)
    plain: dict[str, bytes] = field(default_factory=dict)
    redirects: dict[str, str] = field(default_factory=dict)
    moved: dict[str, str] = field(default_factory=dict)
    ranges: bool = True
    asked: list[str] = field(default_factory=list)
    sent_bytes: int = 0
    bearers: set[tuple[str, str]] = field(default_factory=set)
    plain_token: str | None = None
    concurrent: int = 0
    most_concurrent: int = 0
    delay_s: float = 0.0

    async def __aenter__(self) -> "FakeHub":
        app = web.Application()
        app.add_routes(
            [
                web.get("/api/models/{owner}/{name}/revision/{revision:.+}", self._info),
                web.get("/{owner}/{name}/resolve/{revision}/{file:.+}", self._resolve),
                web.get("/plain/{file:.+}", self._plain),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.host = f"{host}:{port}"
        self.url = f"http://{self.host}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    @property
    def infos(self) -> int:
        """How often a repository was asked about."""
        return len(self.asked)

    async def _info(self, request: web.Request) -> web.Response:
        name = f"{request.match_info['owner']}/{request.match_info['name']}"
        self.asked.append(name)
        self.concurrent += 1
        self.most_concurrent = max(self.most_concurrent, self.concurrent)
        try:
            await asyncio.sleep(self.delay_s)
        finally:
            self.concurrent -= 1
        if name in self.moved:
            return web.Response(status=307, headers={"Location": f"/api/models/{self.moved[name]}/revision/main"})
        repo = self.repos.get(name)
        if repo is not None and repo.hangs:
            await asyncio.sleep(3600)
        if repo is not None and not self._is_let_in(request, repo.token):
            return web.Response(status=401, headers={"X-Error-Code": "RepoNotFound"})
        if repo is None:
            return web.Response(status=404, headers={"X-Error-Code": "RepoNotFound"})
        if repo.status != 200:
            return web.Response(status=repo.status, headers={"X-Error-Code": repo.error_code})
        if request.match_info["revision"] not in ("main", repo.commit):
            return web.Response(status=404, headers={"X-Error-Code": "RevisionNotFound"})
        return web.json_response(_described(name, repo))

    async def _resolve(self, request: web.Request) -> web.StreamResponse:
        repo = self.repos.get(f"{request.match_info['owner']}/{request.match_info['name']}")
        if repo is not None and not self._is_let_in(request, repo.token):
            return web.Response(status=401, headers={"X-Error-Code": "RepoNotFound"})
        content = repo.files.get(request.match_info["file"]) if repo else None
        return await self._send(request, content)

    async def _plain(self, request: web.Request) -> web.StreamResponse:
        file = request.match_info["file"]
        if not self._is_let_in(request, self.plain_token):
            return web.Response(status=401)
        if file in self.redirects:
            return web.Response(status=302, headers={"Location": self.redirects[file]})
        return await self._send(request, self.plain.get(file))

    def _is_let_in(self, request: web.Request, token: str | None) -> bool:
        given = request.headers.get("Authorization", "")
        self.bearers.add((request.path, given))
        return token is None or given == f"Bearer {token}"

    async def _send(self, request: web.Request, content: bytes | None) -> web.StreamResponse:
        if content is None:
            return web.Response(status=404)
        window = request.http_range if self.ranges and "Range" in request.headers else slice(None)
        body = content[window]
        reply = web.StreamResponse(status=200 if body is content or not self.ranges else 206)
        reply.content_length = len(body)
        if reply.status == 206:
            start = window.start or 0
            reply.headers["Content-Range"] = f"bytes {start}-{start + len(body) - 1}/{len(content)}"
        await reply.prepare(request)
        for position in range(0, len(body), 64 * 1024):
            piece = body[position : position + 64 * 1024]
            await reply.write(piece)
            self.sent_bytes += len(piece)
        return reply


def _described(name: str, repo: Repo) -> dict[str, Any]:
    """`/api/models/...?blobs=true` as the Hub answers it, as far as clients read it."""
    siblings = [
        {
            "rfilename": file,
            "size": len(content),
            "blobId": "0" * 40,
            "lfs": {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 134},
        }
        for file, content in sorted(repo.files.items())
    ]
    card: dict[str, Any] = {"base_model": repo.base_model, "tags": ["lora"]} if repo.base_model else {"tags": ["lora"]}
    card |= {"widget": repo.gallery} if repo.gallery else {}
    return {"_id": "1", "id": name, "sha": repo.commit, "siblings": siblings, "cardData": card, "tags": ["lora"]}
