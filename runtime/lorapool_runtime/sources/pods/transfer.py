"""Files from other pods, by what they hold: the content is known before, so any pod goes on where another broke off."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import httpx
import structlog

from lorapool_api.kinds.conditions import Reason
from lorapool_common.http.tls import trusted
from lorapool_runtime.errors import AdapterError
from lorapool_runtime.sources.limits import Expected, write_hashed

log = structlog.get_logger(__name__)

_TIMEOUT: Final = httpx.Timeout(20.0, connect=2.0)
# Of all pods together, for one file.
_ATTEMPTS: Final = 8


class _NobodyLeft(Exception):
    """No pod gave the rest of the file."""


def fetch(hosts: Sequence[str], token: str, target: Path, expected: Expected, cancelled: Callable[[], bool]) -> None:
    """Download the file with the expected sha256 to `target`, from the first host that gives it, and the next ones.

    Raises:
        AdapterError: `SourceUnavailable` where no host gave it whole and right.
    """
    limits = httpx.Limits(max_keepalive_connections=0)
    with httpx.Client(
        timeout=_TIMEOUT, follow_redirects=False, trust_env=False, limits=limits, verify=trusted(trust_env=False)
    ) as client:
        while hosts:
            transfer = _Transfer(client, hosts, token, str(expected.sha256), expected.max_bytes)
            try:
                write_hashed(transfer.chunks(), target, expected, cancelled)
            except _NobodyLeft:
                break
            except AdapterError as error:
                if cancelled():
                    raise
                # Whoever it was of those that sent a part: the others may be honest.
                log.warning("pods sent no such file", hosts=sorted(transfer.gave), error=error.message)
                hosts = [host for host in hosts if host not in transfer.gave]
            else:
                return
    raise AdapterError(Reason.SOURCE_UNAVAILABLE, "no other pod of the pool gives the file")


class _Transfer:
    """One attempt at a file, from as many hosts as it takes.

    Attributes:
        gave: the hosts that sent a part of it.
    """

    def __init__(self, client: httpx.Client, hosts: Sequence[str], token: str, sha256: str, max_bytes: int) -> None:
        self._client = client
        self._hosts = list(hosts)
        self._headers = {"authorization": f"Bearer {token}", "accept-encoding": "identity"}
        self._sha256 = sha256
        self._max_bytes = max_bytes
        self._received = 0
        self.gave: set[str] = set()

    def chunks(self) -> Iterator[bytes]:
        """The bytes of the file, in order. Raises: _NobodyLeft."""
        for attempt in range(_ATTEMPTS):
            if not self._hosts:
                break
            host = self._hosts[0]
            try:
                yield from self._from(host)
            except (httpx.HTTPError, OSError) as error:
                log.info("a transfer broke off", host=host, at=self._received, error=str(error), attempt=attempt)
                self._hosts.append(self._hosts.pop(0))
            except AdapterError:
                self._hosts.pop(0)
            else:
                return
        raise _NobodyLeft

    def _from(self, host: str) -> Iterator[bytes]:
        first = self._received
        headers = self._headers | ({"range": f"bytes={first}-"} if first else {})
        with self._client.stream("GET", f"http://{host}/v1/blobs/{self._sha256}", headers=headers) as answer:
            if answer.status_code != (httpx.codes.PARTIAL_CONTENT if first else httpx.codes.OK):
                raise AdapterError(Reason.SOURCE_UNAVAILABLE, f"{host} answered {answer.status_code}")
            begin = answer.headers.get("content-range", "bytes 0-")
            if not begin.startswith(f"bytes {first}-"):
                raise AdapterError(Reason.SOURCE_UNAVAILABLE, f"{host} sent another part of the file")
            self.gave.add(host)
            for chunk in answer.iter_raw():
                self._received += len(chunk)
                yield chunk
