"""Which hosts a `url` source may name, and at which addresses."""

import pytest

from lorapool_api.fetch.hosts import permitted
from lorapool_api.fetch.policy import SourceRefused, UrlFetch
from lorapool_api.kinds.conditions import Reason

ALLOWED = ("files.example.org", "mirror.example.org:8443", "*.cdn.example.org", "10.1.0.0/16", "[fd00::1]:8080")


@pytest.mark.parametrize(
    ("url", "asked"),
    [
        ("https://files.example.org/a", ("files.example.org", 443)),
        ("http://files.example.org/a", ("files.example.org", 80)),
        ("https://FILES.example.org:443/a", ("files.example.org", 443)),
        ("https://mirror.example.org:8443/a", ("mirror.example.org", 8443)),
        ("https://eu.cdn.example.org/a", ("eu.cdn.example.org", 443)),
        ("http://10.1.2.3/a", ("10.1.2.3", 80)),
        ("http://[fd00::1]:8080/a", ("fd00::1", 8080)),
    ],
)
def test_listed_hosts_are_allowed(url: str, asked: tuple[str, int]) -> None:
    assert UrlFetch(url, ALLOWED).host() == asked


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/a",
        "https://files.example.org.evil.org/a",
        "https://evilfiles.example.org/a",
        "https://files.example.org:8080/a",
        "https://mirror.example.org/a",
        "https://cdn.example.org/a",
        "https://evilcdn.example.org/a",
        "https://user@files.example.org/a",
        "ftp://files.example.org/a",
        "file:///etc/passwd",
        "http://10.2.0.1/a",
        "http://10.1.2.3:22/a",
        "http://[fd00::2]:8080/a",
    ],
)
def test_everything_else_is_refused(url: str) -> None:
    with pytest.raises(SourceRefused) as refused:
        UrlFetch(url, ALLOWED).host()
    assert refused.value.reason is Reason.SOURCE_FORBIDDEN


PRIVATE = (
    *("127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "224.0.0.1"),
    "0.0.0.0",  # noqa: S104 -- an address to refuse
    *("::1", "::", "fe80::1", "fd00::1", "ff02::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "fec0::1"),
    *("255.255.255.255", "192.0.2.1", "fe80::1%eth0", "no address"),
)


@pytest.mark.parametrize("address", PRIVATE)
def test_no_name_reaches_an_address_that_is_not_public(address: str) -> None:
    assert permitted([address, "93.184.216.34"], 443, ["*", "*.nip.io"]) == ("93.184.216.34",)
    with pytest.raises(SourceRefused, match="no public address") as refused:
        UrlFetch("https://any.example.org/a", ["*"]).addresses([address])
    assert refused.value.reason is Reason.SOURCE_FORBIDDEN


@pytest.mark.parametrize(
    ("address", "listed"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("127.0.0.1", "127.0.0.1:443"),
        ("10.20.30.40", "10.0.0.0/8"),
        ("fd00::5", "fd00::/8"),
        ("::1", "[::1]:443"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
    ],
)
def test_a_private_address_is_reached_where_the_list_names_it(address: str, listed: str) -> None:
    assert permitted([address], 443, ["*", listed]) == (address,)
    assert permitted([address], 443, ["*"]) == ()


def test_an_address_that_is_listed_with_a_port_opens_no_other() -> None:
    assert permitted(["127.0.0.1"], 22, ["127.0.0.1:443"]) == ()
