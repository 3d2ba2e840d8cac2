"""Which address a pod's server listens on, and the socket for it."""

import ipaddress
import socket
from collections.abc import Callable
from typing import Final

_ALL_IPV4: Final = "0.0.0.0"  # noqa: S104 -- a pod has a network of its own
_ALL: Final = "::"


def has_ipv6() -> bool:
    """Whether this machine can listen on IPv6 addresses at all: the kernel may be built or started without."""
    if not socket.has_ipv6:
        return False
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind((_ALL, 0))
    except OSError:
        return False
    return True


def listen_host(listen: str | None, pod_ip: str | None, has_ipv6: Callable[[], bool] = has_ipv6) -> str:
    """The address to listen on.

    A pod on a loopback address shares the network of its machine: it listens on that address alone. Any other pod
    has a network of its own and listens on all of its addresses, so that `kubectl port-forward`, which connects to
    the pod's loopback address, and both families of a dual-stack cluster reach it.

    Args:
        listen: the address that a setting names; it goes first.
        pod_ip: the pod's (first) address, as `status.podIP` has it; None outside of a pod.
        has_ipv6: whether the machine has IPv6 addresses.
    """
    if listen:
        return listen
    if pod_ip and ipaddress.ip_address(pod_ip).is_loopback:
        return pod_ip
    return _ALL if has_ipv6() else _ALL_IPV4


def bound_socket(host: str, port: int) -> socket.socket:
    """A TCP socket bound to the address, not yet listening; `::` takes IPv4 too.

    The protocol is named because asyncio sets TCP_NODELAY only on sockets that say they are TCP; without it each
    reply waits for the client's delayed acknowledgement, some 40 ms.

    Raises:
        OSError: the address is not of this machine, or taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if host == _ALL:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    return listener


def host_of(address: str) -> str:
    """An address as it stands in a URL. Raises: ValueError."""
    parsed = ipaddress.ip_address(address)
    return f"[{parsed}]" if parsed.version == 6 else str(parsed)
