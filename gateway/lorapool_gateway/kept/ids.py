"""IDs of what a gateway keeps: they say which gateway it is, and nobody else can make one.

Gateways share nothing but a key. So an ID holds the address of the gateway that made it, and a code (HMAC-SHA256) over
that, what it is of and whose it is: an ID of somebody else is none, and no address in it is one of a stranger's choice.
"""

import base64
import binascii
import hmac
import ipaddress
import re
import secrets
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from yarl import URL

from lorapool_gateway.errors import UnknownKept

_INSTANCE_BYTES, _CHANCE_BYTES, _CODE_BYTES = 6, 14, 16
# An IPv6 address (of IPv4: mapped into it), a port, the process, chance.
_FORM: Final = struct.Struct(f"!16sH{_INSTANCE_BYTES}s{_CHANCE_BYTES}s")
_TEXT: Final = re.compile(r"[A-Za-z0-9_-]{72}")
_USE: Final = b"lorapool ids of what gateways keep"
Keys = Callable[[], Sequence[bytes]]


class KeptKind(StrEnum):
    """What an ID is of."""

    REQUEST = "request"
    IMAGE = "image"


@dataclass(frozen=True)
class KeptAt:
    """A gateway's process.

    Attributes:
        host: of the pod; `::` where nobody has told it.
        port: where other gateways ask it.
        instance: of the process; another one has kept nothing.
    """

    host: str
    port: int
    instance: bytes

    @property
    def address(self) -> tuple[str, int]:
        return self.host, self.port

    @property
    def place(self) -> str:
        """Host and port as a call to it is signed for."""
        return URL.build(scheme="http", host=self.host, port=self.port).raw_authority


class Ids:
    """Makes and reads IDs."""

    def __init__(self, keys: Keys | None = None, host: str | None = None, port: int = 0) -> None:
        """
        Args:
            keys: bytes that all gateways have, the newest first; None: bytes of this process, whose IDs no other reads.
        """
        own = secrets.token_bytes(32)
        self._keys: Keys = keys or (lambda: (own,))
        self.own = KeptAt(str(ipaddress.ip_address(host or "::")), port, secrets.token_bytes(_INSTANCE_BYTES))

    def new(self, kind: KeptKind, owner: bytes = b"") -> str:
        """An ID that nobody guesses, of what this gateway keeps for the owner."""
        packed = _packed(self.own.host)
        said = _FORM.pack(packed, self.own.port, self.own.instance, secrets.token_bytes(_CHANCE_BYTES))
        return _text(said + _code(self._keys()[0], kind, owner, said))

    def where(self, kind: KeptKind, id_: str, owner: bytes = b"") -> KeptAt:
        """The gateway that has it. Raises: UnknownKept, where no gateway made it so for this owner."""
        said, code = _parts(kind, id_)
        if not any(hmac.compare_digest(code, _code(key, kind, owner, said)) for key in self._keys()):
            raise UnknownKept(kind, id_)
        packed, port, instance, _ = _FORM.unpack(said)
        return KeptAt(_host(packed), port, instance)


def _code(key: bytes, kind: KeptKind, owner: bytes, said: bytes) -> bytes:
    derived = hmac.digest(key, _USE, "sha256")
    return hmac.digest(derived, b"|".join((kind.value.encode(), said, owner)), "sha256")[:_CODE_BYTES]


def _parts(kind: KeptKind, id_: str) -> tuple[bytes, bytes]:
    try:
        raw = base64.urlsafe_b64decode(id_) if _TEXT.fullmatch(id_) else b""
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != _FORM.size + _CODE_BYTES or _text(raw) != id_:
        raise UnknownKept(kind, id_)
    return raw[: _FORM.size], raw[_FORM.size :]


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode()


def _packed(host: str) -> bytes:
    address = ipaddress.ip_address(host)
    return address.packed if address.version == 6 else b"\0" * 10 + b"\xff\xff" + address.packed


def _host(packed: bytes) -> str:
    address = ipaddress.IPv6Address(packed)
    return str(address.ipv4_mapped or address)
