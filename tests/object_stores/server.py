"""What the fake stores have in common: objects at addresses, ranges, ETags and preconditions."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Final
from urllib.parse import quote, unquote

from tests.web import Reply, Web

_MAY_STAND: Final = "/+=@,()!'"


@dataclass(frozen=True)
class Asked:
    """A request, as it came: nothing of its address is decoded."""

    path: str
    query: str
    host: str

    @classmethod
    def of(cls, request: BaseHTTPRequestHandler) -> "Asked":
        path, _, query = request.path.partition("?")
        return cls(path, query, str(request.headers["host"]))


# None: whoever asks may read. Otherwise the refusal.
Check = Callable[[Asked], Reply | None]


@dataclass
class FakeStore:
    """Objects of a web server, for whoever passes the check.

    Attributes:
        missing: the answer where there is no object.
        changed: the answer to a precondition that does not hold.
    """

    web: Web
    check: Check
    missing: Reply
    changed: Reply
    objects: dict[str, bytes] = field(default_factory=dict)
    ranges: list[str | None] = field(default_factory=list)

    def put(self, path: str, content: bytes) -> None:
        """An object at `bucket/key`, or another content of it."""
        self.objects[f"/{path}"] = content
        self.announce(path)

    def announce(self, path: str) -> None:
        """The store answers at that address, as it does where nothing is."""
        for address in _addresses(path):
            self.web.answers[address] = self.answer

    def answer(self, request: BaseHTTPRequestHandler) -> Reply:
        asked = Asked.of(request)
        if (refusal := self.check(asked)) is not None:
            return refusal
        content = self.objects.get(unquote(asked.path))
        if content is None:
            return self.missing
        etag = f'"{etag_of(content)}"'
        if request.headers.get("if-match") not in (None, etag):
            return self.changed
        wanted = request.headers.get("range")
        self.ranges.append(wanted)
        return _ranged(content, wanted, {"etag": etag, "accept-ranges": "bytes"})

    def count(self, path: str) -> int:
        """How often that object was asked for."""
        return sum(self.web.count("GET", address) for address in _addresses(path))


def _addresses(path: str) -> set[str]:
    """A path as clients write it: some letters may be escaped or not."""
    return {f"/{quote(path)}", f"/{quote(path, safe=_MAY_STAND)}"}


def etag_of(content: bytes) -> str:
    """As S3 makes it of what was uploaded in one part."""
    return hashlib.md5(content).hexdigest()  # noqa: S324 -- S3's own


def _ranged(content: bytes, wanted: str | None, headers: dict[str, str]) -> Reply:
    if wanted is None:
        return Reply(200, content, headers)
    first, _, last = wanted.removeprefix("bytes=").partition("-")
    begin, end = int(first), min(int(last) + 1 if last else len(content), len(content))
    if begin >= len(content):
        return Reply(416, headers={"content-range": f"bytes */{len(content)}"})
    return Reply(206, content[begin:end], {**headers, "content-range": f"bytes {begin}-{end - 1}/{len(content)}"})
