"""Pictures in requests: which bytes and texts are one. Pods open them, here only the first bytes are read: pure."""

import base64
import binascii
import re
from typing import Final

from lorapool_gateway.errors import BadRequest
from lorapool_gateway.http.fields.fields import short
from lorapool_gateway.spool.kinds import HEAD_BYTES, READ, kind_of
from lorapool_gateway.spool.pictures import PictureBody, StoredPicture

# Characters of base64 that tell the kind of a file.
_HEAD_CHARACTERS: Final = 44
_PIECE: Final = 3 << 16
# No word of a prompt is that long; a file in base64 is.
_NO_WORD: Final = re.compile(r"\s*[A-Za-z0-9+/]{64}")
_ADDRESS: Final = re.compile(r"\s*https?://\S+\s*", re.IGNORECASE)


def in_bytes(body: bytes, place: str = "the body") -> str | None:
    """The picture that the bytes are, in base64 or what stands for it, or None.

    Raises:
        BadRequest: it is of a kind that no pod reads.
    """
    if isinstance(body, PictureBody):
        return body.stored
    kind = kind_of(body[:HEAD_BYTES])
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
    if isinstance(text, StoredPicture):
        return text
    if text.lstrip().startswith("data:"):
        return _in_data_address(field, text.strip())
    if _ADDRESS.fullmatch(text[:4096]):
        raise BadRequest(f"{field} is an address, and addresses are not fetched: send the image in base64", param=field)
    kind = kind_of(_decoded_head(text))
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
    kind = kind_of(_decoded_head(data))
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


def _check_kind(kind: str, place: str) -> None:
    if kind not in READ:
        raise BadRequest(f"{short(place)} is an image in {kind}; {_kinds()} are read", param=place)


def _kinds() -> str:
    return ", ".join(READ[:-1]) + f" and {READ[-1]}"
