"""A registry of the OCI distribution specification, with its token service, and faults to order.

It speaks as CNCF Distribution does: a challenge with realm, service and scope, manifests by tag and by digest in a type
that the client accepts, blobs with ranges, or by a redirect to a storage at another address, errors as JSON.
"""

import base64
import contextlib
import hashlib
import json
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.artifacts.ranges import ranged
from tests.web import Reply, Web, serving

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
TITLE = "org.opencontainers.image.title"
# What oras calls a file whose type nobody named.
PLAIN_FILE = "application/vnd.oci.image.layer.v1.tar"
_EMPTY = b"{}"


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@dataclass
class FakeRegistry:
    """One registry at `web`, with its blobs at `storage` where they are elsewhere.

    Attributes:
        users: who may pull, with passwords; empty: anybody.
        challenge: the WWW-Authenticate of a 401; None: `Bearer` with its own token service.
        faults: what is answered instead, by a part of the path.
        after: is called with the path of each request that was answered.
        authorized: (path, Authorization) of all requests, here and at the storage.
        shown: what a test has seen of messages about it.
    """

    web: Web
    storage: Web
    users: dict[str, str] = field(default_factory=dict)
    anonymous: bool = True
    needs_token: bool = True
    redirects: bool = False
    ranges: bool = True
    challenge: str | None = None
    token_answer: bytes | None = None
    faults: dict[str, Reply] = field(default_factory=dict)
    after: Callable[[str], object] = lambda _: None
    blobs: dict[str, bytes] = field(default_factory=dict)
    manifests: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    tags: dict[tuple[str, str], str] = field(default_factory=dict)
    tokens: set[str] = field(default_factory=set)
    scopes: list[str] = field(default_factory=list)
    authorized: list[tuple[str, str | None]] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)

    @property
    def host(self) -> str:
        return self.web.host

    @property
    def listed(self) -> tuple[str, ...]:
        """What an installation lists that uses this registry without TLS, and its storage."""
        return (f"http://{self.web.host}", self.storage.host)

    def count(self, part: str) -> int:
        return sum(part in path for _, path in self.web.seen)

    # ---- what people push -------------------------------------------------------------------------------------

    def push(
        self,
        repository: str,
        tag: str,
        files: Mapping[str, bytes],
        media_types: Mapping[str, str] | None = None,
        annotation: str = TITLE,
        more: Mapping[str, str] | None = None,
    ) -> str:
        """Push files as `oras push` does; the manifest's digest."""
        layers = [
            self.layer(content, (media_types or {}).get(name, PLAIN_FILE), {annotation: name, **(more or {})})
            for name, content in files.items()
        ]
        return self.put(repository, tag, {"layers": layers})

    def layer(self, content: bytes, media_type: str, annotations: Mapping[str, str] | None) -> dict[str, Any]:
        """A descriptor of a blob that is there."""
        self.blobs[digest_of(content)] = content
        found: dict[str, Any] = {"mediaType": media_type, "digest": digest_of(content), "size": len(content)}
        return found | ({"annotations": dict(annotations)} if annotations else {})

    def put(self, repository: str, tag: str, document: Mapping[str, Any], media_type: str = MANIFEST) -> str:
        """Push a manifest, or an index; its digest."""
        config = self.layer(_EMPTY, "application/vnd.oci.empty.v1+json", None)
        whole = {"schemaVersion": 2, "mediaType": media_type, **({"config": config} if "layers" in document else {})}
        body = json.dumps({**whole, **document}).encode()
        self.manifests[digest_of(body)] = media_type, body
        self.tags[repository, tag] = digest_of(body)
        return digest_of(body)

    # ---- what clients ask -------------------------------------------------------------------------------------

    def answer(self, request: BaseHTTPRequestHandler) -> Reply:
        path = urlsplit(request.path).path
        try:
            return self._answered(request, path)
        finally:
            self.after(path)

    def _answered(self, request: BaseHTTPRequestHandler, path: str) -> Reply:
        self.authorized.append((path, request.headers.get("authorization")))
        fault = next((reply for part, reply in self.faults.items() if part in path), None)
        if fault is not None:
            return fault
        if path == "/token":
            return self._token(request)
        if not self._may_pull(request):
            return self._unauthorized(path)
        _, _, rest = path.partition("/v2/")
        for kind in ("manifests", "blobs"):
            repository, found, reference = rest.rpartition(f"/{kind}/")
            if found:
                return self._manifest(request, repository, reference) if kind == "manifests" else self._blob(request)
        return Reply(404)

    def _manifest(self, request: BaseHTTPRequestHandler, repository: str, reference: str) -> Reply:
        digest = self.tags.get((repository, reference), reference)
        if digest not in self.manifests:
            return _error(404, "MANIFEST_UNKNOWN")
        media_type, body = self.manifests[digest]
        if media_type not in request.headers.get("accept", ""):
            return _error(404, "MANIFEST_UNKNOWN")
        return Reply(body=body, headers={"content-type": media_type, "docker-content-digest": digest})

    def _blob(self, request: BaseHTTPRequestHandler) -> Reply:
        digest = urlsplit(request.path).path.rpartition("/")[2]
        if digest not in self.blobs:
            return _error(404, "BLOB_UNKNOWN")
        if self.redirects:
            return Reply(307, headers={"location": f"{self.storage.url}/{digest}?signature=canary-of-storage"})
        return ranged(request, self.blobs[digest], digest, self.ranges)

    def stored(self, request: BaseHTTPRequestHandler) -> Reply:
        """What the storage answers, which knows no tokens of the registry."""
        self.authorized.append((request.path, request.headers.get("authorization")))
        if request.headers.get("authorization"):
            return Reply(400)  # as S3 and its like do with a signed address and another authorization
        digest = urlsplit(request.path).path.removeprefix("/")
        return ranged(request, self.blobs[digest], digest, self.ranges) if digest in self.blobs else Reply(404)

    def _may_pull(self, request: BaseHTTPRequestHandler) -> bool:
        if not self.needs_token:
            return True
        kind, _, value = request.headers.get("authorization", "").partition(" ")
        return (kind == "Bearer" and value in self.tokens) or (kind == "Basic" and self._knows(value))

    def _knows(self, encoded: str) -> bool:
        user, _, password = base64.b64decode(encoded).decode().partition(":")
        return user in self.users and self.users[user] == password

    def _unauthorized(self, path: str) -> Reply:
        repository = path.removeprefix("/v2/").rpartition("/manifests/")[0] or "acme/loras"
        realm = f'realm="{self.web.url}/token",service="{self.web.host}"'
        challenge = self.challenge or f'Bearer {realm},scope="repository:{repository}:pull,push"'
        return _error(401, "UNAUTHORIZED", {"www-authenticate": challenge})

    def _token(self, request: BaseHTTPRequestHandler) -> Reply:
        if self.token_answer is not None:
            return Reply(body=self.token_answer)
        asked = parse_qs(urlsplit(request.path).query)
        self.scopes += asked.get("scope", [])
        kind, _, value = request.headers.get("authorization", "").partition(" ")
        if not self.anonymous and (kind != "Basic" or not self._knows(value)):
            return _error(401, "UNAUTHORIZED")
        token = secrets.token_urlsafe(24)
        self.tokens.add(token)
        return Reply(body=json.dumps({"token": token, "expires_in": 300}).encode())


def _error(status: int, code: str, headers: Mapping[str, str] | None = None) -> Reply:
    body = json.dumps({"errors": [{"code": code, "message": code.lower(), "detail": None}]}).encode()
    return Reply(status, body, {"content-type": "application/json", **(headers or {})})


@contextlib.contextmanager
def registry_serving() -> Iterator[FakeRegistry]:
    """A registry and its storage, each on a free port of 127.0.0.1."""
    with serving() as web, serving() as storage:
        registry = FakeRegistry(web, storage)
        web.default = registry.answer
        storage.default = registry.stored
        yield registry
