"""Civitai's API for versions of models and for downloads, and faults to order.

A download is a redirect to a signed address of a storage; where an account is needed, the API says 401, or leads to its
login as it does with browsers. The answers have the shape of https://developer.civitai.com/site/reference/model-versions.
"""

import contextlib
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.artifacts.ranges import ranged
from tests.web import Reply, Web, serving

SIGNATURE = "canary-of-storage"


@dataclass
class CivitaiUpload:
    """A file of a version, as its creator uploaded it."""

    number: int
    name: str
    content: bytes
    format: str = "SafeTensor"
    type: str = "Model"
    primary: bool = True
    sha256: str | None = "computed"


@dataclass
class CivitaiRelease:
    """A version of a model. `gated` files are for accounts only; `by_login`: as browsers learn it."""

    files: list[CivitaiUpload]
    model: int = 328553
    type: str = "LORA"
    base_model: str = "SDXL 1.0"
    usage: str = "Download"
    gated: bool = False
    by_login: bool = False


@dataclass
class FakeCivitai:
    """The API at `web`, its files at `storage`.

    Attributes:
        origin: what addresses of downloads begin with; a mirror's copies name the original.
        status: answers every call with it, where it is not 200.
        authorized: (path with query, Authorization) of all requests, here and at the storage.
        shown: what a test has seen of messages about it.
    """

    web: Web
    storage: Web
    origin: str
    tokens: set[str] = field(default_factory=set)
    versions: dict[int, CivitaiRelease] = field(default_factory=dict)
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    authorized: list[tuple[str, str | None]] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return self.web.url

    @property
    def listed(self) -> tuple[str, ...]:
        """What an installation lists whose storage has a private address."""
        return (self.storage.host,)

    def answer(self, request: BaseHTTPRequestHandler) -> Reply:
        path = urlsplit(request.path).path
        self.authorized.append((request.path, request.headers.get("authorization")))
        if self.status != 200:
            return Reply(self.status, b'{"error":"ordered"}', self.headers)
        for prefix, answer in {"/api/v1/model-versions/": self._described, "/api/download/models/": self._led}.items():
            if path.startswith(prefix):
                number = path.removeprefix(prefix)
                release = self.versions.get(int(number)) if number.isdecimal() else None
                return _error(404, "No version found") if release is None else answer(request, int(number), release)
        return Reply(200, b"<html>the page of a model, or of the login</html>", {"content-type": "text/html"})

    def _described(self, _: BaseHTTPRequestHandler, number: int, release: CivitaiRelease) -> Reply:
        if self.body is not None:
            return Reply(body=self.body)
        document = {
            "id": number, "modelId": release.model, "name": "v1.0", "baseModel": release.base_model,
            "air": f"urn:air:sdxl:lora:civitai:{release.model}@{number}", "status": "Published",
            "usageControl": release.usage, "trainedWords": ["pixel, art style", "pixel"], "earlyAccessEndsAt": None,
            "model": {"name": "Pixel", "type": release.type, "nsfw": False, "poi": False},
            "files": [self._file(number, file) for file in release.files], "images": [],
            "downloadUrl": f"{self.origin}/api/download/models/{number}",
        }  # fmt: skip
        return Reply(body=json.dumps(document).encode(), headers={"content-type": "application/json"})

    def _file(self, number: int, file: CivitaiUpload) -> dict[str, Any]:
        address = f"{self.origin}/api/download/models/{number}"
        hashes = {"AutoV2": "0123456789", "CRC32": "01234567"}
        if file.sha256 is not None:
            written = hashlib.sha256(file.content).hexdigest() if file.sha256 == "computed" else file.sha256
            hashes["SHA256"] = written.upper()
        return {
            "id": file.number, "name": file.name, "type": file.type, "sizeKB": len(file.content) / 1024,
            "metadata": {"format": file.format, "size": None, "fp": None}, "hashes": hashes,
            "pickleScanResult": "Success", "virusScanResult": "Success",
            "downloadUrl": address if file.primary else f"{address}?fileId={file.number}",
        } | ({"primary": True} if file.primary else {})  # fmt: skip

    def _led(self, request: BaseHTTPRequestHandler, number: int, release: CivitaiRelease) -> Reply:
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if release.gated and token not in self.tokens:
            if release.by_login:
                return Reply(
                    307, headers={"location": f"/login?returnUrl=/models/{release.model}&reason=download-auth"}
                )
            return _error(401, "Unauthorized", "The creator of this asset requires you to be logged in to download it")
        asked = parse_qs(urlsplit(request.path).query).get("fileId")
        file = next(f for f in release.files if (str(f.number) in asked if asked else f.primary))
        return Reply(
            307, headers={"location": f"{self.storage.url}/{number}/{file.number}?X-Amz-Signature={SIGNATURE}"}
        )

    def stored(self, request: BaseHTTPRequestHandler) -> Reply:
        """What the storage answers, by signed addresses alone."""
        self.authorized.append((request.path, request.headers.get("authorization")))
        parts = urlsplit(request.path)
        if request.headers.get("authorization") or parse_qs(parts.query).get("X-Amz-Signature") != [SIGNATURE]:
            return Reply(400)
        _, version, number = parts.path.split("/")
        file = next(f for f in self.versions[int(version)].files if f.number == int(number))
        reply = ranged(request, file.content, number)
        named = {"content-disposition": f'attachment; filename="{file.name}"'}
        return Reply(reply.status, reply.body, {**reply.headers, **named})


def _error(status: int, error: str, message: str = "") -> Reply:
    return Reply(
        status, json.dumps({"error": error, "message": message}).encode(), {"content-type": "application/json"}
    )


@contextlib.contextmanager
def civitai_serving() -> Iterator[FakeCivitai]:
    """The API and its storage, each on a free port of 127.0.0.1."""
    with serving() as web, serving() as storage:
        civitai = FakeCivitai(web, storage, web.url)
        web.default = civitai.answer
        storage.default = civitai.stored
        yield civitai
