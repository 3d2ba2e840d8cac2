"""The Hub's routes: describe, list, resolve; and `/faults`, where a test orders what shall go wrong."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Form, Request
from fastapi.responses import JSONResponse
from starlette.responses import Response

from lorapool_hub import describe, repos, sending
from lorapool_hub.access import Access, AccessRefused, repo_not_found
from lorapool_hub.faults import Fault, FaultKind, Faults
from lorapool_hub.repos import Repo

_REPO = "/{owner}/{name}"


@dataclass(frozen=True)
class SmallHub:
    """The folders it serves, who may read them, and what goes wrong. Folders are read anew for every request."""

    folders: Callable[[], Mapping[str, Path]]
    access: Access = field(default_factory=Access)
    faults: Faults = field(default_factory=Faults)
    asked: deque[str] = field(default_factory=lambda: deque(maxlen=10_000))
    """`METHOD path` of the latest requests but those to `/faults`, oldest first."""

    def read(self, repo_id: str) -> Repo | None:
        folder = self.folders().get(repo_id)
        return repos.read(repo_id, folder) if folder else None


def serving(root: Path, owner: str = "lorapool", access: Access | None = None) -> SmallHub:
    """A Hub of every folder with a card below the root."""
    return SmallHub(folders=lambda: repos.find(root, owner), access=access or Access())


def make_app(hub: SmallHub) -> FastAPI:
    """The ASGI application."""
    app = FastAPI(title="lorapool hub", docs_url=None, redoc_url=None, openapi_url=None)
    app.add_exception_handler(AccessRefused, _say_no)
    app.state.hub = hub
    app.add_api_route("/faults", _order, methods=["POST"], status_code=204)
    app.add_api_route("/faults", _clear, methods=["DELETE"], status_code=204)
    app.add_api_route("/api/models", _models)
    app.add_api_route(f"/api/models{_REPO}", _model)
    app.add_api_route(f"/api/models{_REPO}/revision/{{revision:path}}", _model)
    app.add_api_route(f"/api/models{_REPO}/tree/{{revision}}", _tree)
    app.add_api_route(f"/api/models{_REPO}/tree/{{revision}}/{{folder:path}}", _tree)
    app.add_api_route(f"/api/models{_REPO}/paths-info/{{revision}}", _paths, methods=["POST"])
    app.add_api_route(f"{_REPO}/resolve/{{revision}}/{{file:path}}", _resolve, methods=["GET", "HEAD"])
    app.add_api_route(f"/blobs{_REPO}/{{etag}}", _blob, methods=["GET", "HEAD"])
    return app


async def _say_no(_: Request, refused: Exception) -> Response:
    assert isinstance(refused, AccessRefused)  # noqa: S101 -- what the handler is registered for
    return JSONResponse({"error": str(refused)}, refused.status, headers=refused.headers)


# ---- what a route needs ----------------------------------------------------------------------------------------


def _hub(request: Request) -> SmallHub:
    hub: SmallHub = request.app.state.hub
    if request.url.path != "/faults":
        hub.asked.append(f"{request.method} {request.url.path}")
    return hub


def _token(request: Request) -> str | None:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token if scheme.lower() == "bearer" else None


def _repo_id(owner: str, name: str) -> str:
    return f"{owner}/{name}"


TheHub = Annotated[SmallHub, Depends(_hub)]
Token = Annotated[str | None, Depends(_token)]
RepoId = Annotated[str, Depends(_repo_id)]


async def _strike(hub: SmallHub, repo_id: str, file: str = "") -> Fault | None:
    """Do what an ordered fault says, but for those that concern the body: these are returned."""
    fault = hub.faults.take(repo_id, file)
    if fault is None:
        return None
    if fault.kind == FaultKind.SLOW:
        await asyncio.sleep(fault.seconds)
    elif fault.kind == FaultKind.NOT_FOUND:
        raise AccessRefused(404, "RepoNotFound", "Repository not found")
    elif fault.kind == FaultKind.UNAUTHORIZED:
        raise AccessRefused(401, "", "Invalid credentials in Authorization header")
    elif fault.kind == FaultKind.GATED:
        raise AccessRefused(403, "GatedRepo", f"Access to model {repo_id} is restricted.")
    elif fault.kind == FaultKind.RATE_LIMITED:
        raise AccessRefused(429, "", "Too many requests", {"Retry-After": f"{fault.seconds:.0f}"})
    elif fault.kind == FaultKind.BROKEN:
        raise AccessRefused(500, "", "Internal Server Error")
    return fault


def _find(hub: SmallHub, repo_id: str, token: str | None, revision: str) -> Repo:
    repo = hub.read(repo_id)
    if repo is None:
        raise repo_not_found(known_user=hub.access.is_known(token))
    if not repo.has_revision(revision):
        raise AccessRefused(404, "RevisionNotFound", f"Invalid rev id: {revision}")
    return repo


# ---- routes ----------------------------------------------------------------------------------------------------


async def _order(hub: TheHub, fault: Fault) -> None:
    hub.faults.order(fault)


async def _clear(hub: TheHub) -> None:
    hub.faults.clear()


async def _models(hub: TheHub, token: Token, search: str = "", author: str = "") -> list[dict[str, Any]]:
    """All that the caller may see, by id."""
    found = []
    for repo_id in sorted(hub.folders()):
        repo = hub.read(repo_id) if hub.access.sees(repo_id, token) else None
        if repo and search in repo_id and author in ("", repo_id.partition("/")[0]):
            found.append(_described(hub, repo, blobs=False))
    return found


def _described(hub: SmallHub, repo: Repo, *, blobs: bool) -> dict[str, Any]:
    private, gated = repo.id in hub.access.private, repo.id in hub.access.gated
    return describe.model(repo, private=private, gated=gated, blobs=blobs)


async def _model(
    hub: TheHub, repo_id: RepoId, token: Token, revision: str = "main", blobs: bool = False
) -> dict[str, Any]:
    await _strike(hub, repo_id)
    hub.access.check_repo(repo_id, token)
    return _described(hub, _find(hub, repo_id, token, revision), blobs=blobs)


async def _tree(
    hub: TheHub, repo_id: RepoId, token: Token, revision: str, folder: str = "", recursive: bool = False
) -> list[dict[str, Any]]:
    await _strike(hub, repo_id)
    hub.access.check_repo(repo_id, token)
    repo = _find(hub, repo_id, token, revision)
    listing = describe.tree(repo, folder, recursive=recursive)
    if folder and not listing:
        raise AccessRefused(404, "EntryNotFound", f"{folder} does not exist on {revision}")
    return listing


async def _paths(
    hub: TheHub, repo_id: RepoId, token: Token, revision: str, paths: Annotated[list[str], Form()]
) -> list[dict[str, Any]]:
    await _strike(hub, repo_id)
    hub.access.check_repo(repo_id, token)
    files = _find(hub, repo_id, token, revision).files
    return [describe.entry(files[path]) for path in paths if path in files]


async def _resolve(hub: TheHub, repo_id: RepoId, token: Token, revision: str, file: str) -> Response:
    fault = await _strike(hub, repo_id, file)
    hub.access.check_file(repo_id, token)
    repo = _find(hub, repo_id, token, revision)
    if file not in repo.files:
        raise AccessRefused(404, "EntryNotFound", "Entry not found", {"X-Repo-Commit": repo.commit})
    return sending.send(repo, repo.files[file], fault)


async def _blob(hub: TheHub, repo_id: RepoId, etag: str) -> Response:
    """Where redirects lead: by hash and without a token, as the Hub's store does with its signed links."""
    repo = hub.read(repo_id)
    found = [f for f in repo.files.values() if f.etag == etag] if repo else []
    if not repo or not found:
        raise AccessRefused(404, "EntryNotFound", "Entry not found")
    return sending.send(repo, found[0], None)
