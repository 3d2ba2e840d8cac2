"""The header of a signed call, for a request as aiohttp sends it."""

import asyncio
import hashlib
from typing import Final

from yarl import URL

from lorapool_common.signed.calls import SIGNATURE_HEADER, SignedCall, Signs

_LARGE_BYTES: Final = 1 << 20


async def signature_of(signer: Signs | None, method: str, url: URL, body: bytes) -> dict[str, str]:
    """As `signature`; a large body is looked at in a thread."""
    if signer is None or len(body) < _LARGE_BYTES:
        return signature(signer, method, url, body)
    return await asyncio.to_thread(signature, signer, method, url, body)


def signature(signer: Signs | None, method: str, url: URL, body: bytes = b"") -> dict[str, str]:
    """The header for one request; none where nobody signs. Each request needs another one: a pod takes each once."""
    return {} if signer is None else signature_by_sha256(signer, method, url, hashlib.sha256(body).hexdigest())


def signature_by_sha256(signer: Signs, method: str, url: URL, sha256: str) -> dict[str, str]:
    """The same for a body that is not in memory; its sha256 in hexadecimal digits."""
    return {SIGNATURE_HEADER: signer.token(SignedCall(url.raw_authority, method, url.raw_path_qs, sha256))}
