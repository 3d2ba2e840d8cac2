"""Address ranges that nothing on this machine uses."""

import ipaddress
import json
import random
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Final

_PRIVATE: Final = IPv4Network("10.0.0.0/8")
_BLOCK_PREFIX: Final = 22


@dataclass(frozen=True)
class Ranges:
    """The addresses of one node: a /22, cut up."""

    block: IPv4Network

    @property
    def host(self) -> IPv4Address:
        """This machine's end of the cable to the node: the control plane listens there."""
        return self.link[1]

    @property
    def node(self) -> IPv4Address:
        return self.link[2]

    @property
    def link(self) -> IPv4Network:
        return next(self.block.subnets(new_prefix=30))

    @property
    def pods(self) -> IPv4Network:
        return list(self.block.subnets(new_prefix=24))[1]

    @property
    def services(self) -> IPv4Network:
        return list(self.block.subnets(new_prefix=24))[2]


def free_ranges() -> Ranges:
    """Ranges for a node, beside every route of this machine."""
    return Ranges(free_block(_routed(), random.randrange))


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


def _routed() -> list[IPv4Network]:
    command = ["ip", "-json", "-4", "route", "show", "table", "all"]
    routes = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout or "[]")
    return [ipaddress.IPv4Network(route["dst"], strict=False) for route in routes if route["dst"] != "default"]
