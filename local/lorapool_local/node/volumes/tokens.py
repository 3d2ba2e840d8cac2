"""Tokens of ServiceAccounts, bound to a pod and renewed before they expire."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from lorapool_common.kube.client import Kube
from lorapool_common.kube.resources import SERVICE_ACCOUNTS
from lorapool_local.node.spec.pod import Pod

# As the kubelet: at four fifths of a token's life.
_RENEW_AT = 0.8


@dataclass(frozen=True)
class _Token:
    """A token and when, by the clock, to ask for the next one."""

    text: str
    renew_at: float


class PodTokens:
    """The tokens of one pod, by audience and length of life."""

    def __init__(self, kube: Kube, pod: Pod, clock: Callable[[], float] = time.time) -> None:
        self._kube = kube
        self._pod = pod
        self._clock = clock
        self._tokens: dict[tuple[str, int], _Token] = {}

    async def token(self, audience: str, expiration_s: int) -> str:
        """A token with at least a fifth of its life left. Raises `ApiError`."""
        key = (audience, expiration_s)
        known = self._tokens.get(key)
        if known is None or self._clock() >= known.renew_at:
            known = self._tokens[key] = await self._request(audience, expiration_s)
        return known.text

    def next_renewal(self) -> float | None:
        """When a token should be asked for anew, by the clock; None without tokens."""
        return min((token.renew_at for token in self._tokens.values()), default=None)

    async def _request(self, audience: str, expiration_s: int) -> _Token:
        metadata = self._pod.metadata
        bound = {"apiVersion": "v1", "kind": "Pod", "name": metadata.name, "uid": metadata.uid}
        spec = {"audiences": [audience] if audience else [], "expirationSeconds": expiration_s, "boundObjectRef": bound}
        account = self._pod.spec.service_account_name
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        asked_at = self._clock()
        status = (await self._kube.create(SERVICE_ACCOUNTS, metadata.namespace, body, account, "token"))["status"]
        expires_at = datetime.fromisoformat(status["expirationTimestamp"]).timestamp()
        return _Token(status["token"], asked_at + _RENEW_AT * (expires_at - asked_at))
