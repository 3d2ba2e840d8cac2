"""Which hosts a `url` source may name, and at which addresses; operator and runtime ask the same questions.

An installation lists `host`, `host:port`, `*.example.org` for all names below, `*` for all names, and addresses or
ranges of them: `10.1.2.3`, `10.1.2.3:8080`, `10.0.0.0/8`, `fd00::/8`, `[fd00::1]:8080`. A name says what may be asked
for; it reaches public addresses only, and those that are listed beside it. An entry with `http://` before it also lets
credentials go there without TLS.
"""

import ipaddress
from collections.abc import Collection, Iterable
from functools import lru_cache
from typing import Final, NamedTuple
from urllib.parse import urlsplit

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_PLAIN: Final = "http://"
_SITE_LOCAL: Final = ipaddress.ip_network("fec0::/10")
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class _Entry(NamedTuple):
    """An entry of the list: a name or a range of addresses, and the port if it names one.

    Attributes:
        is_plain: whether credentials may go there without TLS.
    """

    name: str
    addresses: ipaddress.IPv4Network | ipaddress.IPv6Network | None
    port: int | None
    is_plain: bool


def is_allowed(url: str, allowed: Collection[str]) -> bool:
    """Whether the address is http(s) and its host is on the list.

    An entry without a port means the scheme's own port, so that a listed host does not open its other services.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or _DEFAULT_PORTS.get(parts.scheme)
    except ValueError:
        return False
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname or parts.username is not None:
        return False
    return "*" in allowed or any(_covers(entry, parts.scheme, parts.hostname, port) for entry in map(_parsed, allowed))


def may_carry_credentials(url: str, allowed: Collection[str]) -> bool:
    """Whether credentials may be sent to an address that `is_allowed`: by https, or where an entry says `http://`."""
    parts, (host, port) = urlsplit(url), host_and_port(url)
    if parts.scheme == "https":
        return True
    plain = (entry for entry in map(_parsed, allowed) if entry.is_plain)
    return any(_covers(entry, parts.scheme, host, port) for entry in plain)


def scheme_of(server: str, allowed: Collection[str]) -> str:
    """`https`, or `http` where an entry says `http://` of a server (`host` or `host:port`) that names no scheme."""
    url = f"{_PLAIN}{server}"
    return "http" if origin(url) is not None and may_carry_credentials(url, allowed) else "https"


def origin(url: str) -> tuple[str, str, int] | None:
    """(scheme, host, port); whoever has another is somebody else. None: it is no address of http(s)."""
    try:
        parts = urlsplit(url)
        return (parts.scheme, *host_and_port(url)) if parts.scheme in _DEFAULT_PORTS else None
    except ValueError:
        return None


def host_and_port(url: str) -> tuple[str, int]:
    """Whom to connect to for an address that `is_allowed`."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or _DEFAULT_PORTS[parts.scheme]


def permitted(addresses: Iterable[str], port: int, allowed: Collection[str]) -> tuple[str, ...]:
    """Of the addresses that a host has, those that may be connected to: public ones, and those on the list.

    Private, link-local, loopback, unique local, multicast and reserved addresses are not public, in IPv6's notations
    for them neither: behind them are a node's metadata, the cluster's services and this process itself.
    """
    entries = [_parsed(entry) for entry in allowed]
    return tuple(text for text in dict.fromkeys(addresses) if _may_reach(text, port, entries))


def _may_reach(text: str, port: int, entries: Iterable[_Entry]) -> bool:
    try:
        address = _unwrapped(ipaddress.ip_address(text))
    except ValueError:
        return False
    if address.is_global and not address.is_multicast and address not in _SITE_LOCAL:
        return True
    return any(e.addresses is not None and address in e.addresses and e.port in (None, port) for e in entries)


def _unwrapped(address: Address) -> Address:
    """The IPv4 address that an IPv6 address stands for, where it stands for one."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


def _covers(entry: _Entry, scheme: str, host: str, port: int | None) -> bool:
    return _names(entry, host) and port == (entry.port or _DEFAULT_PORTS[scheme])


def _names(entry: _Entry, host: str) -> bool:
    if entry.addresses is not None:
        try:
            return ipaddress.ip_address(host) in entry.addresses
        except ValueError:
            return False
    return host.endswith(entry.name[1:]) if entry.name.startswith("*.") else host == entry.name


@lru_cache(maxsize=1024)
def _parsed(entry: str) -> _Entry:
    text = entry.lower().removeprefix(_PLAIN)
    is_plain = text != entry.lower()
    if (network := _network(text)) is not None:
        return _Entry("", network, None, is_plain)
    name, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal():
        return _Entry(text, None, None, is_plain)
    return _Entry(name, _network(name.removeprefix("[").removesuffix("]")), int(port), is_plain)


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None
