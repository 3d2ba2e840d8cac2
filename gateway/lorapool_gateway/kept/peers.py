"""What other gateways keep, asked of them by signed calls; an answer counts with a proof that it is a gateway's.

A pod's address is another pod's when it has ended, so whoever answers must know the key too.
"""

import hmac
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final, Self

import aiohttp
from yarl import URL

from lorapool_common.signed.calls import SIGNATURE_HEADER, Signs
from lorapool_common.signed.headers import signature
from lorapool_gateway.errors import PodFailed
from lorapool_gateway.kept.ids import KeptAt

PROOF_HEADER: Final = "x-lorapool-proof"
PREFIX: Final = "/v1/kept"
CONNECT_TIMEOUT_S: Final = 3.0
# Events come, or a comment, more often than that.
QUIET_TIMEOUT_S: Final = 45.0
_USE: Final = b"lorapool proofs of gateways"


class PeerGone(Exception):
    """No gateway answers at that address."""


@dataclass(frozen=True)
class PeerAnswer:
    """An answer of another gateway, whose body is still to come."""

    status: int
    headers: Mapping[str, str]
    chunks: AsyncIterator[bytes]
    close: Callable[[], None]


class OtherGateways:
    """A client of the other gateways."""

    def __init__(self, signer: Signs, keys: Callable[[], Sequence[bytes]]) -> None:
        """`signer` and `keys` are those that all gateways have."""
        self._signer = signer
        self._keys = keys
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S, sock_read=QUIET_TIMEOUT_S)
        made = aiohttp.ClientSession(
            timeout=timeout,
            connector=aiohttp.TCPConnector(limit=0, force_close=True),
            headers={"accept-encoding": "identity"},
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        self._session = await self._stack.enter_async_context(made)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def ask(self, at: KeptAt, method: str, path: str) -> PeerAnswer:
        """What the gateway answers at `PREFIX` and that path. Raises: PeerGone; PodFailed."""
        host, port = at.address
        url = URL.build(scheme="http", host=host, port=port, path=f"{PREFIX}/{path}")
        signed = signature(self._signer, method, url)
        try:
            answer = await self._session.request(method, url, headers=signed, allow_redirects=False)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise PeerGone(str(error)) from error
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise PodFailed(f"the gateway that has it does not answer: {error}", transient=True) from error
        shown = answer.headers.get(PROOF_HEADER, "")
        if not any(hmac.compare_digest(shown.encode(), proof.encode()) for proof in proofs(self._keys(), signed)):
            answer.close()
            raise PeerGone("whoever answers there is no gateway of this installation")
        return PeerAnswer(answer.status, answer.headers, answer.content.iter_any(), answer.close)


def proofs(keys: Sequence[bytes], signed: Mapping[str, str]) -> list[str]:
    """What only who knows one of the keys answers to a signed call, for each of them."""
    said = signed.get(SIGNATURE_HEADER, "").encode()
    return [hmac.digest(hmac.digest(key, _USE, "sha256"), said, "sha256").hex() for key in keys]
