"""Downloads with their checksums."""

import hashlib
import tarfile
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from lorapool_local.binaries.tools import ProgramSource
from lorapool_local.errors import BinariesUnavailable

_CONNECT_TIMEOUT_S = 4.0
_READ_TIMEOUT_S = 30.0
_CHUNK = 2**20

# (bytes so far, bytes in all or None)
OnBytes = Callable[[int, int | None], None]


def reachable_hosts(sources: Iterable[ProgramSource]) -> set[str]:
    """Which of the sources' hosts answer. All are asked at once: without internet nobody waits longer than seconds."""
    answered: set[str] = set()

    def knock(url: str) -> None:
        try:
            httpx.head(url, timeout=_CONNECT_TIMEOUT_S)
        except httpx.HTTPError:
            return
        answered.add(host_of(url))

    # Threads of their own that nobody joins: looking up a name cannot be cancelled.
    urls = [source.archive.checksum_url.format(tool=source.tools[0].name) for source in sources]
    knocks = [threading.Thread(target=knock, args=(url,), daemon=True) for url in urls]
    for thread in knocks:
        thread.start()
    for thread in knocks:
        thread.join(_CONNECT_TIMEOUT_S)
    return set(answered)


def host_of(url: str) -> str:
    return urlsplit(url).hostname or ""


def download(source: ProgramSource, folder: Path, on_bytes: Callable[[str], OnBytes]) -> None:
    """Put the source's programs into `folder`, each verified.

    Raises:
        BinariesUnavailable: a checksum differs, or a server fails.
    """
    try:
        with httpx.Client(
            timeout=httpx.Timeout(_READ_TIMEOUT_S, connect=_CONNECT_TIMEOUT_S), follow_redirects=True
        ) as http:
            for tool in source.tools:
                _fetch_tool(http, source, tool.name, folder, on_bytes(tool.name))
    except httpx.HTTPError as error:
        raise BinariesUnavailable(f"{source.name} cannot be downloaded: {error}") from error


def expected_checksum(listing: str, file_name: str) -> str | None:
    """The checksum of a file in a listing: a bare one, or `CHECKSUM  NAME` lines."""
    for line in listing.splitlines():
        words = line.split()
        if len(words) == 1 or (len(words) > 1 and words[1].lstrip("*") == file_name):
            return words[0].lower()
    return None


def _fetch_tool(http: httpx.Client, source: ProgramSource, tool: str, folder: Path, on_bytes: OnBytes) -> None:
    url = source.archive.url.format(tool=tool)
    file_name = url.rpartition("/")[2]
    listing = http.get(source.archive.checksum_url.format(tool=tool)).raise_for_status().text
    expected = expected_checksum(listing, file_name)
    downloaded = folder / f".{file_name}"
    found = _fetch(http, url, downloaded, on_bytes)
    if found != expected:
        raise BinariesUnavailable(f"{url} has sha256 {found}, expected {expected}")
    if source.archive.member is not None:
        _extract(downloaded, source.archive.member, folder / tool)
        downloaded.unlink()
    else:
        downloaded.rename(folder / tool)
    (folder / tool).chmod(0o755)


def _fetch(http: httpx.Client, url: str, target: Path, on_bytes: OnBytes) -> str:
    """The sha256 of what was fetched."""
    digest, so_far = hashlib.sha256(), 0
    with http.stream("GET", url) as reply, target.open("wb") as file:
        reply.raise_for_status()
        length = reply.headers.get("content-length")
        for chunk in reply.iter_bytes(_CHUNK):
            file.write(chunk)
            digest.update(chunk)
            so_far += len(chunk)
            on_bytes(so_far, int(length) if length else None)
    return digest.hexdigest()


def _extract(archive: Path, member: str, target: Path) -> None:
    with tarfile.open(archive) as tar:
        content = tar.extractfile(member)
        if content is None:
            raise BinariesUnavailable(f"{archive.name} holds no {member}")
        with content, target.open("wb") as file:
            while chunk := content.read(_CHUNK):
                file.write(chunk)
