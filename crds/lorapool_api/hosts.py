"""Which hosts a `url` source may name; operator and runtime ask the same question, of every redirect too."""

from collections.abc import Collection
from urllib.parse import urlsplit

_DEFAULT_PORTS = {"http": 80, "https": 443}


def is_allowed(url: str, allowed: Collection[str]) -> bool:
    """Whether the address is http(s) and its host is among `host`, `host:port` or `*.example.org`; `*` allows all.

    An entry without a port means the scheme's own port, so that a listed host does not open its other services.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or _DEFAULT_PORTS.get(parts.scheme)
    except ValueError:
        return False
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname or parts.username is not None:
        return False
    if "*" in allowed:
        return True
    default = port == _DEFAULT_PORTS[parts.scheme]
    return any(_matches(parts.hostname, port, default, entry.lower()) for entry in allowed)


def _matches(host: str, port: int | None, default: bool, entry: str) -> bool:
    name, _, wanted = entry.rpartition(":") if ":" in entry else (entry, "", "")
    if not (wanted == str(port) if wanted else default):
        return False
    return host.endswith(name[1:]) if name.startswith("*.") else host == name
