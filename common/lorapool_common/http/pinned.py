"""HTTP to an address that was looked up and checked before: the name is not looked up again on the way."""

import socket
from collections.abc import Mapping
from typing import Any, Final

import httpx

# Connections are not kept: one to an address would be taken for the next name that has it.
LIMITS: Final = httpx.Limits(max_keepalive_connections=0)


def pinned(
    client: httpx.Client | httpx.AsyncClient, url: str, address: str, headers: Mapping[str, str]
) -> httpx.Request:
    """A GET of that URL, sent to that address.

    The host's name stands in the Host header and in TLS, whose certificate must be the name's.
    """
    named = httpx.URL(url)
    return client.build_request(
        "GET",
        named.copy_with(host=address),
        headers={**headers, "Host": named.netloc.decode("ascii")},
        extensions={"sni_hostname": named.raw_host.decode("ascii")},
    )


def addresses_of(found: list[Any]) -> list[str]:
    """The addresses in an answer of `getaddrinfo`, in their order."""
    return [str(entry[4][0]) for entry in found if entry[0] in (socket.AF_INET, socket.AF_INET6)]
