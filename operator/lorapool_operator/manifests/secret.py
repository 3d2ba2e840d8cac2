"""The token that the control port of a pool's pods asks for."""

import base64
import hashlib
import hmac

from lorapool_api import names
from lorapool_api.kinds.pool import Pool
from lorapool_operator.manifests.common import Manifest, metadata


def control_token(key: bytes, pool: Pool) -> str:
    """HMAC-SHA256 of the pool's uid under the operator's key, in hexadecimal digits.

    Derived, not random, so that the operator needs no permission to read Secrets and a restart changes nothing. A pool
    that is created again has another uid, so another token.
    """
    return hmac.new(key, pool.metadata.uid.encode(), hashlib.sha256).hexdigest()


def control_secret(pool: Pool, token: str) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata(pool, names.control_secret_name(pool.metadata.name)),
        "type": "Opaque",
        "data": {names.CONTROL_TOKEN_KEY: base64.b64encode(token.encode()).decode()},
    }
