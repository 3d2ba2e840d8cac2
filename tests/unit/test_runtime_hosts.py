"""Which addresses a `url` source may name."""

import httpx
import pytest

from lorapool_api.conditions import Reason
from lorapool_runtime.errors import AdapterError
from lorapool_runtime.store.url import check_allowed

ALLOWED = ("files.example.org", "mirror.example.org:8443", "*.cdn.example.org")


@pytest.mark.parametrize(
    "url",
    [
        "https://files.example.org/a",
        "http://files.example.org/a",
        "https://FILES.example.org:443/a",
        "https://mirror.example.org:8443/a",
        "https://eu.cdn.example.org/a",
    ],
)
def test_listed_hosts_are_allowed(url: str) -> None:
    check_allowed(httpx.URL(url), ALLOWED)


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
    ],
)
def test_everything_else_is_refused(url: str) -> None:
    with pytest.raises(AdapterError) as refused:
        check_allowed(httpx.URL(url), ALLOWED)
    assert refused.value.reason is Reason.SOURCE_FORBIDDEN
