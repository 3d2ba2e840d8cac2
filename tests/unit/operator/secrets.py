"""Secrets in memory, as sources and pods are given of them."""

from dataclasses import dataclass, field

from pydantic import SecretStr

from lorapool_api.fetch.policy import SourceRefused
from lorapool_api.kinds.conditions import Reason
from lorapool_api.wire.credentials import TOKEN, Credentials, CredentialsRef


def token_ref(name: str = "hf", key: str = "token", namespace: str = "default") -> CredentialsRef:
    """What `tokenSecretRef` of an adapter in that namespace means."""
    return CredentialsRef(namespace=namespace, secret=name, keys=((TOKEN, key),))


@dataclass
class Secrets:
    """Tokens by what names them; what nobody may read is forbidden.

    Attributes:
        asked: what was read.
    """

    tokens: dict[CredentialsRef, str] = field(default_factory=dict)
    asked: list[CredentialsRef] = field(default_factory=list)

    async def read(self, ref: CredentialsRef) -> Credentials:
        self.asked.append(ref)
        if ref not in self.tokens:
            raise SourceRefused(Reason.SECRET_FORBIDDEN, f"the operator may not read Secret {ref.secret}")
        return {TOKEN: SecretStr(self.tokens[ref])}
