"""Azure Blob Storage: addresses with a shared access signature of the account's key, errors in a header and in XML."""

import hmac
from base64 import b64decode, b64encode
from datetime import UTC, datetime
from urllib.parse import parse_qsl, unquote

from tests.object_stores.server import Asked, FakeStore
from tests.web import Reply, Web

ACCOUNT, KEY = "modelstore", b64encode(b"the account's key").decode()


def azure(web: Web, account: str = ACCOUNT, key: str = KEY) -> FakeStore:
    """A storage account with that key, below `/account` as emulators have it."""

    def check(asked: Asked) -> Reply | None:
        query = dict(parse_qsl(asked.query))
        if "sig" not in query:
            return error(401, "NoAuthenticationInformation")
        end = datetime.strptime(query["se"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
        is_right = hmac.compare_digest(signature(asked, query, key), query["sig"]) and datetime.now(UTC) < end
        return None if is_right and "r" in query["sp"] else error(403, "AuthenticationFailed")

    return FakeStore(web, check, error(404, "BlobNotFound"), error(412, "ConditionNotMet"))


def signature(asked: Asked, query: dict[str, str], key: str) -> str:
    """Of a service SAS of version 2020-12-06 and later, for a blob."""
    fields = [
        query["sp"], query.get("st", ""), query["se"], f"/blob{unquote(asked.path)}", "", query.get("sip", ""),
        query.get("spr", ""), query["sv"], query["sr"], "", "", "", "", "", "", "",
    ]  # fmt: skip
    return b64encode(hmac.digest(b64decode(key), "\n".join(fields).encode(), "sha256")).decode()


def error(status: int, code: str) -> Reply:
    xml = f'<?xml version="1.0" encoding="utf-8"?><Error><Code>{code}</Code><Message>no</Message></Error>'
    return Reply(status, xml.encode(), {"content-type": "application/xml", "x-ms-error-code": code})
