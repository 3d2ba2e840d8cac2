"""A server that asks for a token, and pods that are brought it as the operator does."""

from http.server import BaseHTTPRequestHandler
from typing import Final

from pydantic import SecretStr
from tests import files
from tests.runtime.pods import Running, eventually
from tests.web import Reply, Web

from lorapool_api.kinds.conditions import Reason
from lorapool_api.wire.catalog import CatalogEntry
from lorapool_api.wire.credentials import TOKEN, CredentialsDelivery, CredentialsGrant, CredentialsRef
from lorapool_api.wire.sources.basic import UrlFile
from lorapool_api.wire.state import PodState

CANARY: Final = "canary-b41c9e"
CONTENT: Final = files.lora_file()
SHA256: Final = files.sha256(CONTENT)
KEY: Final = "team/one"
REF: Final = CredentialsRef(namespace="team", secret="hf", keys=((TOKEN, "token"),))


def guard(web: Web, token: str = CANARY, path: str = "/private.safetensors", content: bytes = CONTENT) -> None:
    """From now on the file is there for who has the token."""

    def answer(request: BaseHTTPRequestHandler) -> Reply:
        is_let_in = request.headers["authorization"] == f"Bearer {token}"
        return Reply(body=content) if is_let_in else Reply(401)

    web.answers[path] = answer


def entry(web: Web, key: str = KEY, ref: CredentialsRef | None = REF, **fields: object) -> CatalogEntry:
    source = UrlFile(url=f"{web.url}/private.safetensors", credentials=ref)
    return CatalogEntry.model_validate({"key": key, "generation": 1, "source": source, **fields})


async def asks(pod: Running, key: str = KEY) -> None:
    """Return when the pod says that it waits for the credentials of the adapter."""
    await eventually(lambda: key in pod.runtime.state().awaits_credentials)


async def deliver(pod: Running, grant: CredentialsGrant, key: str = KEY) -> PodState:
    body = CredentialsDelivery(grants={key: grant}).model_dump_json()
    reply = await pod.control.put("/v1/credentials", content=body)
    assert reply.status_code == 200, reply.text
    return PodState.model_validate(reply.json())


def granted(token: str = CANARY, ref: CredentialsRef = REF) -> CredentialsGrant:
    return CredentialsGrant(ref=ref, values={TOKEN: SecretStr(token)})


def refused(message: str = "the operator may not read it") -> CredentialsGrant:
    return CredentialsGrant(ref=REF, reason=Reason.SECRET_FORBIDDEN, message=message)
