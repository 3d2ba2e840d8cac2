"""Secrets that sources of adapters name: read one by one, when somebody needs them. Never listed, never watched.

The operator has no right on Secrets of users but where a Role of their namespace lets it get one by name; without it
the refusal says how to make that Role. What was read is kept for a minute: a value that was replaced counts soon after.
"""

import asyncio
import base64
import binascii
import re
import shlex
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from pydantic import SecretStr

from lorapool_api.fetch.oci.pull_secret import CONFIG_KEY, UnusablePullSecret, pull_credentials
from lorapool_api.fetch.oci.reference import OciReference
from lorapool_api.fetch.policy import SourceRefused
from lorapool_api.kinds.conditions import Reason
from lorapool_api.wire.credentials import MAX_VALUE_CHARACTERS, MAX_VALUES, TOKEN, Credentials, CredentialsRef
from lorapool_common.kube.errors import ApiError
from lorapool_common.kube.resources import SECRETS, Manifest, Resource

KEEP_S: Final = 60.0
MOST_KEPT: Final = 256
# All values of one Secret: a delivery to a pod holds those of many.
_MAX_CHARACTERS: Final = 64 * 1024
# What somebody may put right in the next moment is read again after this time, and then ever more rarely.
_AGAIN_S: Final = 10.0
_ACCOUNT: Final = re.compile(r'User "system:serviceaccount:([a-z0-9.-]+:[a-z0-9.-]+)"')
# What may stand in a header. A line break at the end is none of the token: files end with one.
_BEARER: Final = re.compile(r"[\x21-\x7e]+")


class GetsObjects(Protocol):
    """The API server. Raises: ApiError."""

    async def get(self, resource: Resource, namespace: str | None, name: str) -> Manifest: ...


@dataclass(frozen=True)
class _Kept:
    credentials: Credentials
    until_s: float


class SecretReader:
    """Reads credentials. Lives on the event loop."""

    def __init__(self, kube: GetsObjects, clock: Callable[[], float] = time.monotonic) -> None:
        self._kube = kube
        self._clock = clock
        self._kept: OrderedDict[CredentialsRef, _Kept] = OrderedDict()
        self._reading: dict[CredentialsRef, asyncio.Task[Credentials]] = {}

    async def read(self, ref: CredentialsRef) -> Credentials:
        """What the Secret holds, as it was within the last minute. However many ask at once, it is read once.

        Raises:
            SourceRefused: it may not be read, is not there, lacks a key or holds what is no token; the API server is
                away.
        """
        kept = self._kept.get(ref)
        if kept is not None and kept.until_s > self._clock():
            return kept.credentials
        reading = self._reading.get(ref)
        if reading is None:
            reading = self._reading[ref] = asyncio.create_task(self._read(ref))
            reading.add_done_callback(lambda task: self._done(ref, task))
        return await asyncio.shield(reading)

    def _done(self, ref: CredentialsRef, task: asyncio.Task[Credentials]) -> None:
        self._reading.pop(ref, None)
        if not task.cancelled():
            task.exception()  # whoever waited for it has it, if anybody still does

    async def _read(self, ref: CredentialsRef) -> Credentials:
        self._kept.pop(ref, None)
        try:
            found = await self._kube.get(SECRETS, ref.namespace, ref.secret)
        except ApiError as error:
            raise _refused(ref, error) from error
        credentials = _credentials(ref, found)
        self._kept[ref] = _Kept(credentials, self._clock() + KEEP_S)
        if len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)
        return credentials


def _refused(ref: CredentialsRef, error: ApiError) -> SourceRefused:
    shown = _shown(ref)
    if error.is_gone:
        message = f"there is no {shown}; create it, or correct the name"
        return SourceRefused(Reason.SECRET_NOT_FOUND, message, _AGAIN_S)
    if error.status == 403:
        return SourceRefused(
            Reason.SECRET_FORBIDDEN, f"the operator may not read {shown}; {_grant(ref, error)}", _AGAIN_S
        )
    return SourceRefused(Reason.SOURCE_UNAVAILABLE, f"{shown} could not be read: {error.status} {error.reason}")


def _grant(ref: CredentialsRef, error: ApiError) -> str:
    """What a person has to run. The refusal names the account that was refused."""
    found = _ACCOUNT.search(error.message)
    account = found.group(1) if found else "NAMESPACE:OPERATOR"
    namespace, secret, role = (
        shlex.quote(text) for text in (ref.namespace, ref.secret, f"lorapool-reads-{ref.secret}")
    )
    return (
        f"allow it with: kubectl -n {namespace} create role {role} --verb=get --resource=secrets "
        f"--resource-name={secret} && kubectl -n {namespace} create rolebinding {role} --role={role} "
        f"--serviceaccount={account}"
    )


def _credentials(ref: CredentialsRef, found: Mapping[str, Any]) -> Credentials:
    """The values that are meant, each within its bounds. Raises: SourceRefused."""
    data = found.get("data") or {}
    if ref.pulls is not None:
        return _of_pull_secret(ref, ref.pulls, data)
    keys = ref.keys or tuple((key, key) for key in sorted(data))
    for _, key in keys:
        if key not in data:
            message = f"{_shown(ref)} has no key {key!r}"
            raise SourceRefused(Reason.SECRET_NOT_FOUND, message, _AGAIN_S)
    values = {name: _value(ref, name, key, data[key]) for name, key in keys}
    if not values or len(values) > MAX_VALUES or sum(map(len, values.values())) > _MAX_CHARACTERS:
        message = (
            f"{_shown(ref)} has {len(values)} keys; 1 to {MAX_VALUES} of {_MAX_CHARACTERS} characters together are read"
        )
        raise SourceRefused(Reason.INVALID_SECRET, message, _AGAIN_S)
    return {name: SecretStr(value) for name, value in values.items()}


def _of_pull_secret(ref: CredentialsRef, artifact: str, data: Mapping[str, str]) -> Credentials:
    """What it holds for the registry of the artifact: nothing of other registries leaves the operator."""
    if CONFIG_KEY not in data:
        raise SourceRefused(Reason.SECRET_NOT_FOUND, f"{_shown(ref)} has no key {CONFIG_KEY!r}", _AGAIN_S)
    config = _value(ref, CONFIG_KEY, CONFIG_KEY, data[CONFIG_KEY])
    try:
        return pull_credentials(config.encode(), OciReference.parse(artifact))
    except UnusablePullSecret as error:
        raise SourceRefused(Reason.INVALID_SECRET, f"{_shown(ref)}: {error}", _AGAIN_S) from error


def _value(ref: CredentialsRef, name: str, key: str, encoded: str) -> str:
    try:
        text = base64.b64decode(encoded, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError, TypeError):
        raise _invalid(ref, key, "is no text") from None
    if len(text) > MAX_VALUE_CHARACTERS:
        raise _invalid(ref, key, f"has more than {MAX_VALUE_CHARACTERS} characters")
    if name != TOKEN:
        return text
    token = text.strip()
    if not _BEARER.fullmatch(token):
        raise _invalid(ref, key, "is no token: it is empty, or holds spaces, line breaks or letters beyond ASCII")
    return token


def _invalid(ref: CredentialsRef, key: str, what: str) -> SourceRefused:
    """Says nothing of the value."""
    return SourceRefused(Reason.INVALID_SECRET, f"key {key!r} of {_shown(ref)} {what}", _AGAIN_S)


def _shown(ref: CredentialsRef) -> str:
    return f"Secret {ref.secret} of namespace {ref.namespace}"
