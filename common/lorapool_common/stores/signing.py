"""Addresses of objects that carry the right to read them for a while.

obstore knows the stores' signatures and where a pod's identity comes from: keys in the environment, a projected token
of the ServiceAccount (IRSA, EKS pod identity, Azure's and Google's workload identity), the metadata service. Whoever
fetches the address needs nothing of that, and keeps to its own rules of hosts, sizes and times: obstore's own client
follows any redirect, and reads answers of any length.
"""

from collections.abc import Mapping
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import quote

from lorapool_common.stores.credentials import UnusableCredentials, azure_key, azure_sas, google_key, s3_key

if TYPE_CHECKING:
    from obstore.store import AzureStore, GCSStore, S3Store

# Longer than any download may take.
VALID: Final = timedelta(hours=1)
# What asking for an identity may take: it is asked within the cluster, or of the provider.
_CLIENT: Final[dict[str, Any]] = {"connect_timeout": "5s", "timeout": "10s"}
_RETRY: Final[dict[str, Any]] = {"max_retries": 2, "retry_timeout": timedelta(seconds=20)}
_STORES: Final = 64


class AddressedObject(Protocol):
    """An object in a store.

    Attributes:
        kind: `s3`, `gcs` or `azure`.
        service: the address below which its containers lie.
        endpoint: the same where it is not the provider's own.
        region: of a bucket in S3; None: what the environment says.
        account: of a container in Azure.
    """

    @property
    def kind(self) -> str: ...
    @property
    def service(self) -> str: ...
    @property
    def endpoint(self) -> str | None: ...
    @property
    def container(self) -> str: ...
    @property
    def key(self) -> str: ...
    @property
    def region(self) -> str | None: ...
    @property
    def account(self) -> str | None: ...


class NoIdentity(Exception):
    """The pod has no identity that the store's provider knows, or it cannot be asked for now."""


def public_url(wanted: AddressedObject) -> str:
    """The address for whoever may read the object without a signature."""
    return f"{wanted.service}/{wanted.container}/{quote(wanted.key)}"


def url_for(wanted: AddressedObject, credentials: Mapping[str, str]) -> str:
    """The address signed with keys, for an hour. Nobody is asked; may block for some milliseconds.

    Args:
        credentials: by their usual names, as `credentials.NAMES` has them; others are not looked at.

    Raises:
        UnusableCredentials: they are not those of such a store.
    """
    if wanted.kind == "azure" and (sas := azure_sas(credentials)):
        return f"{public_url(wanted)}?{sas}"
    return _signed(_with_keys(wanted, credentials), wanted.key, UnusableCredentials("the keys sign nothing"))


def url_for_pod(wanted: AddressedObject) -> str:
    """The address signed with the identity of this pod. Asks its environment for it, and blocks while it does.

    Raises:
        NoIdentity: there is none, or whoever gives it does not answer.
    """
    store = _with_identity(wanted.kind, wanted.container, wanted.endpoint, wanted.region, wanted.account)
    return _signed(store, wanted.key, NoIdentity(f"this pod has no identity that {wanted.kind} gives credentials for"))


def _signed(store: "S3Store | GCSStore | AzureStore", key: str, failure: Exception) -> str:
    from obstore import sign
    from obstore.exceptions import BaseError

    try:
        return sign(store, "GET", key, VALID)
    except (BaseError, ValueError, TypeError):
        # Not as its cause: the library's errors show what it was configured with.
        raise failure from None


def _with_keys(wanted: AddressedObject, credentials: Mapping[str, str]) -> "S3Store | GCSStore | AzureStore":
    """Everything is named, so that nothing of the environment counts: neither its keys nor its addresses."""
    from obstore.exceptions import BaseError
    from obstore.store import AzureStore, GCSStore, S3Store

    client: Any = {**_CLIENT, "allow_http": True}  # it is not used: who fetches the address decides
    try:
        match wanted.kind:
            case "s3":
                key: Any = s3_key(credentials)
                region = wanted.region or "us-east-1"
                return S3Store(
                    wanted.container,
                    region=region,
                    endpoint=wanted.service,
                    client_options=client,
                    credential_provider=lambda: key,
                )
            case "gcs":
                return GCSStore(
                    wanted.container,
                    service_account_key=google_key(credentials),
                    base_url=wanted.service,
                    client_options=client,
                )
            case _:
                access: Any = azure_key(credentials)
                return AzureStore(
                    wanted.container,
                    account_name=wanted.account,
                    endpoint=wanted.service,
                    client_options=client,
                    credential_provider=lambda: access,
                )
    except (BaseError, ValueError, TypeError):
        raise UnusableCredentials("they are no keys of such a store") from None


# A store remembers the credentials that it was given until they end: a thousand adapters ask for them once.
@lru_cache(maxsize=_STORES)
def _with_identity(
    kind: str, container: str, endpoint: str | None, region: str | None, account: str | None
) -> "S3Store | GCSStore | AzureStore":
    from obstore.exceptions import BaseError
    from obstore.store import AzureStore, GCSStore, S3Store

    client: Any = {**_CLIENT, **({"allow_http": True} if endpoint else {})}
    retry: Any = _RETRY
    named: dict[str, Any] = {"client_options": client, "retry_config": retry}
    try:
        match kind:
            case "s3":
                return S3Store(container, **_known(endpoint=endpoint, region=region), **named)
            case "gcs":
                return GCSStore(container, **_known(base_url=endpoint), **named)
            case _:
                return AzureStore(container, **_known(account_name=account, endpoint=endpoint), **named)
    except (BaseError, ValueError, TypeError):
        raise NoIdentity(f"the environment of this pod says nothing that {kind} can be asked with") from None


def _known(**values: str | None) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
