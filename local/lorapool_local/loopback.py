"""A /16 of the loopback network for each plane, an address of it for each pod.

All of 127.0.0.0/8 is on `lo` on Linux, so every pod can listen on the same port at an address of its own.
"""

import contextlib
import random
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field

from lorapool_local.errors import NoLoopbackSubnet

# Without 127.0.0.0/16: all other programs of the machine use 127.0.0.1.
_SECOND_BYTES = range(1, 255)


class Subnet:
    """127.`index`.0.0/16, claimed for as long as this process lives (or until `release`).

    The claim is a name among the abstract sockets: they live in the same network namespace as the addresses
    themselves and vanish with their process, however it ends.
    """

    def __init__(self, index: int, claim: socket.socket) -> None:
        self.index = index
        self._claim = claim

    @property
    def host(self) -> str:
        """The address of the control plane and of the node."""
        return f"127.{self.index}.0.1"

    def release(self) -> None:
        self._claim.close()


# The third byte of addresses: pods below, Services from here on.
_FIRST_SERVICE = 240


def service_range(host: str) -> str:
    """The cluster IPs of the plane whose own address is this one: the upper 4,096 addresses of its /16."""
    network = ".".join(host.split(".")[:2])
    return f"{network}.{_FIRST_SERVICE}.0/20"


def claim_subnet(preferred: int | None = None) -> Subnet:
    """Claim the preferred /16 if nobody has it, else a random free one. Raises: NoLoopbackSubnet."""
    candidates = random.sample(_SECOND_BYTES, k=len(_SECOND_BYTES))
    for index in candidates if preferred is None else [preferred, *candidates]:
        claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            claim.bind(f"\0lorapool/127.{index}.0.0")
        except OSError:
            claim.close()
            continue
        return Subnet(index, claim)
    raise NoLoopbackSubnet("every /16 of 127.0.0.0/8 belongs to another plane: end some with `lorapool down`")


def free_ports(host: str, count: int) -> list[int]:
    """Ports that nobody listens on at this address. It is the plane's own address, so nobody else takes them."""
    with contextlib.ExitStack() as probes:
        sockets = [probes.enter_context(socket.socket()) for _ in range(count)]
        for probe in sockets:
            probe.bind((host, 0))
        return [probe.getsockname()[1] for probe in sockets]


@dataclass
class PodAddresses:
    """Hands out 127.`index`.1.1 and up; an address is used again only after all others were."""

    index: int
    _taken: set[str] = field(default_factory=set)
    _next: Iterator[str] | None = None

    def take(self, preferred: str | None = None) -> str:
        """The preferred address if it is of this network and free, else the next one. Raises: NoLoopbackSubnet."""
        if preferred is not None and preferred.startswith(f"127.{self.index}.") and preferred not in self._taken:
            self._taken.add(preferred)
            return preferred
        for _ in range(_FIRST_SERVICE * 254):
            address = self._following()
            if address not in self._taken:
                self._taken.add(address)
                return address
        raise NoLoopbackSubnet(f"all addresses of 127.{self.index}.0.0/16 belong to pods")

    def give_back(self, address: str) -> None:
        self._taken.discard(address)

    def _following(self) -> str:
        while True:
            if self._next is None:
                self._next = (f"127.{self.index}.{c}.{d}" for c in range(1, _FIRST_SERVICE) for d in range(1, 255))
            for address in self._next:
                return address
            self._next = None
