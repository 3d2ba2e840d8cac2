"""Credentials of sources: which Secret holds them, and how they reach the one pod that asks a source."""

from collections.abc import Mapping
from typing import Annotated, Final

from pydantic import ConfigDict, Field, PlainSerializer, SecretStr

from lorapool_api.kinds.conditions import AnyReason
from lorapool_api.kinds.sources import AdapterSource
from lorapool_api.kinds.stores.objects import CredentialsSecretRef, StoredObject
from lorapool_api.wire.message import Message, Wire

# The usual name of a credential that is a bearer token.
TOKEN: Final = "token"  # noqa: S105 -- the name, not a token
MAX_VALUE_CHARACTERS: Final = 16 * 1024
MAX_VALUES: Final = 32
# Adapters that a pod waits for the credentials of at a time; the others have their turn afterwards.
MOST_AWAITED: Final = 64
CREDENTIALS_MAX_BYTES: Final = 8 << 20

# By name. A value shows itself to whoever asks for it by `get_secret_value`, in no log and no error.
Credentials = Mapping[str, SecretStr]

_OnWire = Annotated[
    SecretStr,
    Field(max_length=MAX_VALUE_CHARACTERS),
    PlainSerializer(lambda value: value.get_secret_value(), return_type=str, when_used="json"),
]


class CredentialsRef(Wire):
    """Where the credentials of a source are. Names alone, never what they hold: it lies in catalogs and on disks."""

    namespace: str
    secret: str
    keys: tuple[tuple[str, str], ...] = Field(
        default=(),
        description="(name of the credential, key in the Secret); empty: all keys, each by its own name.",
    )
    pulls: str | None = Field(
        default=None,
        description="An artifact: of the Secret, a kubernetes.io/dockerconfigjson, its user name and password alone.",
    )


class CredentialsGrant(Wire):
    """What a Secret holds for one adapter, or why the operator does not give it."""

    model_config = ConfigDict(hide_input_in_errors=True)

    ref: CredentialsRef
    values: dict[str, _OnWire] = Field(default={}, max_length=MAX_VALUES)
    reason: AnyReason | None = Field(default=None, description="Set where there are no values.")
    message: Message = ""


class CredentialsDelivery(Wire):
    """What a pod waits for, by keys of its catalog's entries. It is kept in memory, for the fetch alone."""

    model_config = ConfigDict(hide_input_in_errors=True)

    grants: dict[str, CredentialsGrant] = Field(max_length=MOST_AWAITED)


def credentials_ref(source: AdapterSource, namespace: str) -> CredentialsRef | None:
    """Where the credentials are that the source of an object in that namespace names; None: it names none."""
    match source.value:
        case StoredObject(credentials_secret_ref=CredentialsSecretRef(name=name)):
            return CredentialsRef(namespace=namespace, secret=name)
    token, oci = source.token_secret_ref, source.oci
    if oci is not None and oci.pull_secret_ref is not None:
        return CredentialsRef(namespace=namespace, secret=oci.pull_secret_ref.name, pulls=oci.ref)
    if token is None:
        return None
    return CredentialsRef(namespace=namespace, secret=token.name, keys=((TOKEN, token.key),))


def token_of(credentials: Credentials) -> SecretStr | None:
    """The bearer token among them."""
    return credentials.get(TOKEN)


def plain_values(credentials: Credentials) -> dict[str, str]:
    """What they hold, for whoever signs with them; keep it no longer than that."""
    return {name: value.get_secret_value() for name, value in credentials.items()}
