"""S3: addresses signed by Signature Version 4 in their query, errors in XML."""

import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, quote

from tests.object_stores.server import Asked, Check, FakeStore
from tests.web import Reply, Web

ALGORITHM = "AWS4-HMAC-SHA256"
KEY_ID, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
CHANGED = Reply(412, b"<Error><Code>PreconditionFailed</Code></Error>", {"content-type": "application/xml"})


def s3(web: Web, check: Check | None = None) -> FakeStore:
    """A store that knows one key; `check` is for other ones."""
    return FakeStore(web, check or signed_by({KEY_ID: SECRET}), error(404, "NoSuchKey"), CHANGED)


def public(_: Asked) -> None:
    """Everybody may read."""


def error(status: int, code: str) -> Reply:
    xml = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>no</Message></Error>'
    return Reply(status, xml.encode(), {"content-type": "application/xml", "x-amz-request-id": "0A49CE4060975EAC"})


def signed_by(keys: Mapping[str, str], region: str = "us-east-1", session: str | None = None) -> Check:
    """Whether an address is signed, now, with one of these keys (by id) for that region."""

    def check(asked: Asked) -> Reply | None:
        query = dict(parse_qsl(asked.query, keep_blank_values=True))
        if query.get("X-Amz-Algorithm") != ALGORITHM:
            return error(403, "AccessDenied")
        key_id, day, where, service, end = query["X-Amz-Credential"].split("/")
        if key_id not in keys:
            return error(403, "InvalidAccessKeyId")
        if (where, service, end) != (region, "s3", "aws4_request"):
            refused = error(400, "AuthorizationQueryParametersError")
            return Reply(refused.status, refused.body, {**refused.headers, "x-amz-bucket-region": region})
        if query.get("X-Amz-Security-Token") != session:
            return error(400, "InvalidToken")
        signed_at = datetime.strptime(query["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        if signed_at.strftime("%Y%m%d") != day or _ended(signed_at, query["X-Amz-Expires"]):
            return error(403, "AccessDenied")
        right = signature(asked, query, keys[key_id])
        return None if hmac.compare_digest(right, query["X-Amz-Signature"]) else error(403, "SignatureDoesNotMatch")

    return check


def signature(asked: Asked, query: Mapping[str, str], secret: str) -> str:
    """What the query's own signature must be (AWS: "Authenticating Requests: Using Query Parameters")."""
    rest = sorted((quote(k, safe="~"), quote(v, safe="~")) for k, v in query.items() if k != "X-Amz-Signature")
    canonical = "\n".join(
        ["GET", asked.path, "&".join(f"{k}={v}" for k, v in rest), f"host:{asked.host}", "", "host", "UNSIGNED-PAYLOAD"]
    )
    _, day, region, service, end = query["X-Amz-Credential"].split("/")
    scope = f"{day}/{region}/{service}/{end}"
    to_sign = f"{ALGORITHM}\n{query['X-Amz-Date']}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = f"AWS4{secret}".encode()
    for part in (day, region, service, end):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, to_sign.encode(), "sha256").hex()


def _ended(signed_at: datetime, seconds: str) -> bool:
    return not signed_at - timedelta(minutes=15) <= datetime.now(UTC) <= signed_at + timedelta(seconds=int(seconds))
