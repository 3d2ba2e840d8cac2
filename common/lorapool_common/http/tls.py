"""Whom TLS trusts."""

import ssl
from functools import cache

import httpx


@cache
def trusted(*, trust_env: bool) -> ssl.SSLContext:
    """httpx's own context, made once: it reads all certificates, which takes 20 ms of CPU for each client.

    Args:
        trust_env: whether SSL_CERT_FILE and SSL_CERT_DIR of the environment count.
    """
    return httpx.create_ssl_context(trust_env=trust_env)
