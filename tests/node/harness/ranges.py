"""Address ranges that nothing on this machine uses, of both families where it knows both."""

import ipaddress
import json
import random
import secrets
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path
from typing import Final

_PRIVATE: Final = IPv4Network("10.0.0.0/8")
_BLOCK_PREFIX: Final = 22
# A prefix of one's own for unique local addresses is random (RFC 4193): nobody else has it.
_LOCAL: Final = IPv6Network("fd00::/8")
_IPV6_OFF: Final = Path("/proc/sys/net/ipv6/conf/all/disable_ipv6")


@dataclass(frozen=True)
class Ranges:
    """The addresses of one node in one family."""

    link: IPv4Network | IPv6Network
    pods: IPv4Network | IPv6Network
    services: IPv4Network | IPv6Network

    @property
    def host(self) -> IPv4Address | IPv6Address:
        """This machine's end of the cable to the node."""
        return self.link[1]

    @property
    def node(self) -> IPv4Address | IPv6Address:
        return self.link[2]

    @property
    def everywhere(self) -> str:
        """All addresses of the family."""
        return "0.0.0.0/0" if self.link.version == 4 else "::/0"


Families = tuple[Ranges, ...]
"""IPv4, then IPv6 where there is any. The control plane listens at the first one's `host`."""


def free_ranges() -> Families:
    """Ranges for a node, beside every route of this machine."""
    four = cut_ipv4(free_block(_routed(), random.randrange))
    return (four, cut_ipv6(secrets.randbits(40))) if _has_ipv6() else (four,)


def free_block(taken: Iterable[IPv4Network], below: Callable[[int], int]) -> IPv4Network:
    """A random /22 of 10.0.0.0/8 that overlaps none of those that are taken.

    Args:
        taken: what the machine has routes for.
        below: gives a random number below its argument.

    Raises:
        LookupError: all that were tried are taken.
    """
    taken = list(taken)
    for _ in range(1000):
        first = int(_PRIVATE.network_address) + (below(2 ** (_BLOCK_PREFIX - 8)) << (32 - _BLOCK_PREFIX))
        block = IPv4Network((first, _BLOCK_PREFIX))
        if not any(block.overlaps(other) for other in taken):
            return block
    raise LookupError("routes of this machine cover all of 10.0.0.0/8")


def cut_ipv4(block: IPv4Network) -> Ranges:
    """A /22 for a node, Services and at most 254 pods."""
    first, pods, services, _ = block.subnets(new_prefix=24)
    return Ranges(next(first.subnets(new_prefix=30)), pods, services)


def cut_ipv6(number: int) -> Ranges:
    """Unique local addresses; the number of 40 bits tells them apart from those of others."""
    block = IPv6Network((int(_LOCAL.network_address) | number << 80, 48))
    link, pods, services = (IPv6Network((int(block.network_address) | i << 64, 64)) for i in range(3))
    # The API server takes at most 20 bits for Services.
    return Ranges(link, pods, IPv6Network((services.network_address, 112)))


def joined(values: Iterable[object]) -> str:
    """As Kubernetes' flags take one of each family."""
    return ",".join(map(str, values))


def _has_ipv6() -> bool:
    return _IPV6_OFF.exists() and _IPV6_OFF.read_text().strip() == "0"


def _routed() -> list[IPv4Network]:
    command = ["ip", "-json", "-4", "route", "show", "table", "all"]
    routes = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout or "[]")
    return [ipaddress.IPv4Network(route["dst"], strict=False) for route in routes if route["dst"] != "default"]
