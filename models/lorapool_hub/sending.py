"""A file over HTTP as the Hub sends it: whole or a range, with its hashes in headers; or broken, to order."""

from __future__ import annotations

from typing import Any

from starlette.responses import FileResponse, Response
from starlette.types import Receive, Scope, Send

from lorapool_hub.faults import Fault, FaultKind
from lorapool_hub.repos import Repo, RepoFile


def headers(repo: Repo, file: RepoFile) -> dict[str, str]:
    """What clients read before they download: the commit, and the hash and size of what the link leads to."""
    known = {"X-Repo-Commit": repo.commit, "ETag": f'"{file.etag}"'}
    if file.sha256:
        known |= {"X-Linked-ETag": f'"{file.sha256}"', "X-Linked-Size": str(file.size_bytes)}
    return known


def send(repo: Repo, file: RepoFile, fault: Fault | None) -> Response:
    """The file; ranges and HEAD are starlette's."""
    known = headers(repo, file)
    if fault and fault.kind == FaultKind.REDIRECT:
        location = fault.location or f"/blobs/{repo.id}/{file.etag}"
        return Response(status_code=302, headers={**known, "Location": location})
    if fault and fault.kind == FaultKind.CUT:
        return _Cut(file, known, fault.after_bytes)
    if fault and fault.kind == FaultKind.CORRUPT:
        return Response(_corrupt(file.disk.read_bytes()), headers=known, media_type="application/octet-stream")
    return FileResponse(file.disk, headers=known, media_type="application/octet-stream")


def _corrupt(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :] if content else content


class _Cut(FileResponse):
    """Ends in the middle: the server closes a connection whose body is shorter than it said."""

    def __init__(self, file: RepoFile, known: dict[str, str], after_bytes: int) -> None:
        super().__init__(file.disk, headers=known, media_type="application/octet-stream")
        self._left = after_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def cut(message: Any) -> None:
            if message["type"] == "http.response.body":
                body = message.get("body", b"")[: self._left]
                self._left -= len(body)
                message = {**message, "body": body, "more_body": True}
            await send(message)

        # No path to the file for the server: it would send it all by itself.
        extensions = {k: v for k, v in scope.get("extensions", {}).items() if k != "http.response.pathsend"}
        await super().__call__({**scope, "extensions": extensions}, receive, cut)
