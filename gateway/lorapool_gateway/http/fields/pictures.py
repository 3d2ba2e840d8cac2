"""Pictures in requests: which bytes and texts are one. Pods open them, here only the first bytes are read: pure."""

import base64
import binascii
import re
from typing import Final

from lorapool_gateway.errors import BadRequest
from lorapool_gateway.http.fields.fields import short

_READ: Final = ("PNG", "JPEG", "WebP")
# Bytes of a file and characters of base64 that tell its kind.
HEAD_BYTES: Final = 32
_HEAD_CHARACTERS: Final = 44
_PIECE: Final = 3 << 16
_HEIF_BRANDS: Final = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1", b"avif", b"avis")
# No word of a prompt is that long; a file in base64 is.
_NO_WORD: Final = re.compile(r"\s*[A-Za-z0-9+/]{64}")
_ADDRESS: Final = re.compile(r"\s*https?://\S+\s*", re.IGNORECASE)


def in_bytes(body: bytes, place: str = "the body") -> str | None:
    """The picture in base64 that the bytes are, or None. Raises: BadRequest, for a kind that no pod reads."""
    kind = _kind(body[:HEAD_BYTES])
    if kind is None:
        return None
    _check_kind(kind, place)
    # In pieces, so that others have their turn between them.
    pieces = (binascii.b2a_base64(body[i : i + _PIECE], newline=False) for i in range(0, len(body), _PIECE))
    return b"".join(pieces).decode()


def in_text(field: str, text: str) -> str | None:
    """The picture in bare base64 that the text holds, or None where it is a prompt.

    Raises:
        BadRequest: it is neither: a picture that no pod reads, base64 of something else, an address.
    """
    if text.lstrip().startswith("data:"):
        return _in_data_address(field, text.strip())
    if _ADDRESS.fullmatch(text[:4096]):
        raise BadRequest(f"{field} is an address, and addresses are not fetched: send the image in base64", param=field)
    kind = _kind(_decoded_head(text))
    if kind is None:
        if _NO_WORD.match(text[:256]):
            raise BadRequest(f"{field} looks like base64, but of no image; {_kinds()} are read", param=field)
        return None
    _check_kind(kind, field)
    return _bare(text)


def must_be_in(field: str, value: object) -> str:
    """The picture in bare base64 that the field holds. Raises: BadRequest."""
    found = in_text(field, value) if isinstance(value, str) else None
    if found is None:
        raise BadRequest(f"{field} must be an image in base64 ({_kinds()})", param=field)
    return found


def _in_data_address(field: str, text: str) -> str:
    head, _, data = text.partition(",")
    kind = _kind(_decoded_head(data))
    if kind is None or not head.endswith(";base64"):
        raise BadRequest(f"{field} is a data: address, but of no image in base64 ({_kinds()})", param=field)
    _check_kind(kind, field)
    return _bare(data)


def _bare(text: str) -> str:
    """Standard base64 in one piece: some encoders break lines, use the alphabet of addresses, or leave out padding."""
    one = "".join(text.split()).replace("-", "+").replace("_", "/")
    return one + "=" * (-len(one) % 4)


def _decoded_head(text: str) -> bytes:
    head = _bare("".join(text[: 4 * _HEAD_CHARACTERS].split())[:_HEAD_CHARACTERS])
    try:
        return base64.b64decode(head, validate=True)
    except (binascii.Error, ValueError):
        return b""


def _kind(head: bytes) -> str | None:
    """The format of a file by its first bytes."""
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WebP"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if head.startswith((b"II*\0", b"MM\0*")):
        return "TIFF"
    if head[4:8] == b"ftyp" and head[8:12] in _HEIF_BRANDS:
        return "HEIF or AVIF"
    return "BMP" if head[:2] == b"BM" and head[6:10] == b"\0\0\0\0" else None


def _check_kind(kind: str, place: str) -> None:
    if kind not in _READ:
        raise BadRequest(f"{short(place)} is an image in {kind}; {_kinds()} are read", param=place)


def _kinds() -> str:
    return ", ".join(_READ[:-1]) + f" and {_READ[-1]}"
