"""What pods of a pool are given of the Secrets that its adapters name."""

import asyncio
from collections.abc import Mapping
from typing import Protocol

from lorapool_api.fetch.policy import SourceRefused
from lorapool_api.wire.catalog import Catalog
from lorapool_api.wire.credentials import Credentials, CredentialsGrant, CredentialsRef


class ReadsCredentials(Protocol):
    """The Secrets. Raises: SourceRefused."""

    async def read(self, ref: CredentialsRef) -> Credentials: ...


async def grants(secrets: ReadsCredentials, catalog: Catalog, keys: frozenset[str]) -> Mapping[str, CredentialsGrant]:
    """For these adapters: their credentials, or why there are none.

    The catalog says which Secrets they may have: a pod names adapters, and never a Secret.
    """
    named = {e.key: e.source.credentials for e in catalog.entries if e.key in keys}
    refs = {key: ref for key, ref in named.items() if ref is not None}
    found = await asyncio.gather(*(_grant(secrets, ref) for ref in refs.values()))
    return dict(zip(refs, found, strict=True))


async def _grant(secrets: ReadsCredentials, ref: CredentialsRef) -> CredentialsGrant:
    try:
        return CredentialsGrant(ref=ref, values=dict(await secrets.read(ref)))
    except SourceRefused as error:
        return CredentialsGrant(ref=ref, reason=error.reason, message=error.message)
