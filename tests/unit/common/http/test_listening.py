"""Which address a pod's server listens on, and what reaches its socket."""

import socket

import pytest

from lorapool_common.http.listening import bound_socket, has_ipv6, listen_host

EVERYWHERE = "0.0.0.0"  # noqa: S104 -- what a pod with a network of its own listens on
HAS_IPV6 = has_ipv6()


@pytest.mark.parametrize("pod_ip", [None, "10.0.0.7", "fd00::7"])
def test_a_pod_listens_on_all_of_its_addresses(pod_ip: str | None) -> None:
    assert listen_host(None, pod_ip, has_ipv6=lambda: True) == "::"


def test_without_ipv6_all_addresses_are_those_of_ipv4() -> None:
    assert listen_host(None, "10.0.0.7", has_ipv6=lambda: False) == EVERYWHERE


@pytest.mark.parametrize("pod_ip", ["127.8.0.3", "::1"])
def test_a_pod_in_its_machines_network_listens_on_its_own_address_alone(pod_ip: str) -> None:
    assert listen_host(None, pod_ip) == pod_ip


def test_an_address_that_is_named_goes_first() -> None:
    assert listen_host("127.0.0.5", "127.8.0.3") == "127.0.0.5"
    assert listen_host("", "127.8.0.3") == "127.8.0.3"  # an empty variable names nothing


@pytest.mark.skipif(not HAS_IPV6, reason="this machine has no IPv6")
@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_all_addresses_are_those_of_both_families(address: str) -> None:
    with bound_socket("::", 0) as listener:
        listener.listen()
        socket.create_connection((address, listener.getsockname()[1]), timeout=10).close()


def test_an_ipv4_address_is_enough_without_ipv6() -> None:
    with bound_socket(EVERYWHERE, 0) as listener:
        listener.listen()
        socket.create_connection(("127.0.0.1", listener.getsockname()[1]), timeout=10).close()


def test_an_address_of_its_own_leaves_the_others_free() -> None:
    with bound_socket("127.0.0.2", 0) as listener, bound_socket("127.0.0.3", listener.getsockname()[1]) as other:
        assert other.getsockname()[1] == listener.getsockname()[1]


def test_a_taken_port_is_an_error_and_leaks_no_socket() -> None:
    with bound_socket("127.0.0.2", 0) as listener:
        listener.listen()
        with pytest.raises(OSError, match="in use"):
            bound_socket("127.0.0.2", listener.getsockname()[1])
