"""Pull secrets of registries: of what they hold, the operator takes what is for the artifact."""

import base64
import json

import pytest

from lorapool_api.fetch.oci.access import PASSWORD, USERNAME
from lorapool_api.fetch.policy import SourceRefused
from lorapool_api.kinds.conditions import Reason
from lorapool_api.kinds.sources import AdapterSource
from lorapool_api.wire.credentials import CredentialsRef, credentials_ref
from lorapool_common.kube.resources import Manifest, Resource
from lorapool_operator.cluster.secrets import SecretReader

AUTHS = {
    "ghcr.io": {"username": "reader", "password": "canary-of-ghcr"},
    "quay.io": {"username": "other", "password": "canary-of-quay"},
}


class Kube:
    """One Secret."""

    def __init__(self, data: dict[str, bytes]) -> None:
        self.data = {key: base64.b64encode(value).decode() for key, value in data.items()}

    async def get(self, resource: Resource, namespace: str | None, name: str) -> Manifest:
        assert (resource.plural, namespace, name) == ("secrets", "team", "pull")
        return {"type": "kubernetes.io/dockerconfigjson", "data": self.data}


def ref() -> CredentialsRef:
    """What a manifest of an adapter in namespace `team` names."""
    source = AdapterSource.model_validate({"oci": {"ref": "ghcr.io/acme/pixel:1", "pullSecretRef": {"name": "pull"}}})
    found = credentials_ref(source, "team")
    assert found is not None
    return found


async def test_what_is_for_other_registries_stays_where_it_is() -> None:
    kube = Kube({".dockerconfigjson": json.dumps({"auths": AUTHS}).encode(), "other": b"canary"})
    found = await SecretReader(kube).read(ref())
    assert {name: value.get_secret_value() for name, value in found.items()} == {
        USERNAME: "reader",
        PASSWORD: "canary-of-ghcr",
    }


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ({"token": b"canary"}, Reason.SECRET_NOT_FOUND),
        ({".dockerconfigjson": b"canary"}, Reason.INVALID_SECRET),
        ({".dockerconfigjson": json.dumps({"auths": {"quay.io": AUTHS["quay.io"]}}).encode()}, Reason.INVALID_SECRET),
        ({".dockerconfigjson": b"{" + b" " * 20_000 + b"}"}, Reason.INVALID_SECRET),
    ],
)
async def test_a_secret_for_something_else_is_refused_and_shows_nothing(data: dict[str, bytes], reason: Reason) -> None:
    with pytest.raises(SourceRefused) as error:
        await SecretReader(Kube(data)).read(ref())
    assert error.value.reason is reason
    assert "canary" not in error.value.message
    assert error.value.retry_after_s is not None
