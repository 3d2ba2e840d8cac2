"""The token by which the pods of a pool know each other."""

import hashlib
import hmac

from lorapool_api.kinds.pool import Pool


def pool_token(key: bytes, pool: Pool) -> str:
    """HMAC-SHA256 of the pool's uid under the operator's key, in hexadecimal digits.

    Derived, not random, so that a restart changes nothing. A pool that is created again has another uid, so another
    token.
    """
    return hmac.new(key, pool.metadata.uid.encode(), hashlib.sha256).hexdigest()
