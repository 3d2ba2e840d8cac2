"""Google Cloud Storage: addresses of its XML API signed with a service account's key (V4, RSA)."""

import json
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from urllib.parse import parse_qsl, quote

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tests.object_stores.s3 import CHANGED, error
from tests.object_stores.server import Asked, FakeStore
from tests.web import Reply, Web

EMAIL = "reader@project.iam.gserviceaccount.com"
# The signature is made for this name, wherever the address is.
HOST = "storage.googleapis.com"


class Account:
    """A service account with one key."""

    def __init__(self) -> None:
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def json(self, **more: str) -> str:
        """Its key file, as the console gives it out."""
        pem = self._key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        key = {"type": "service_account", "private_key_id": "1", "private_key": pem.decode(), "client_email": EMAIL}
        return json.dumps(key | more)

    def signed(self, text: str, signature: str) -> bool:
        try:
            self._key.public_key().verify(bytes.fromhex(signature), text.encode(), padding.PKCS1v15(), hashes.SHA256())
        except (InvalidSignature, ValueError):
            return False
        return True


def gcs(web: Web, account: Account) -> FakeStore:
    """A store that this account may read."""

    def check(asked: Asked) -> Reply | None:
        query = dict(parse_qsl(asked.query))
        if query.get("X-Goog-Algorithm") != "GOOG4-RSA-SHA256":
            return error(403, "AccessDenied")
        email, _, scope = query["X-Goog-Credential"].partition("/")
        rest = sorted((quote(k, safe="~"), quote(v, safe="~")) for k, v in query.items() if k != "X-Goog-Signature")
        listed = "&".join(f"{k}={v}" for k, v in rest)
        canonical = "\n".join(["GET", asked.path, listed, f"host:{HOST}", "", "host", "UNSIGNED-PAYLOAD"])
        text = f"GOOG4-RSA-SHA256\n{query['X-Goog-Date']}\n{scope}\n{sha256(canonical.encode()).hexdigest()}"
        at = datetime.strptime(query["X-Goog-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        is_now = abs(datetime.now(UTC) - at) < timedelta(seconds=int(query["X-Goog-Expires"]))
        is_right = email == EMAIL and is_now and account.signed(text, query["X-Goog-Signature"])
        return None if is_right else error(403, "SignatureDoesNotMatch")

    return FakeStore(web, check, error(404, "NoSuchKey"), CHANGED)
