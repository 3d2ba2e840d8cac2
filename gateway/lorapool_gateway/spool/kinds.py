"""Which kind of picture a file is, by its first bytes: pure."""

from typing import Final

# Pods read these; the others are known by name, to say what is wrong with them.
READ: Final = ("PNG", "JPEG", "WebP")
# Bytes of a file that tell its kind.
HEAD_BYTES: Final = 32
_HEIF_BRANDS: Final = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1", b"avif", b"avis")


def is_read(head: bytes) -> bool:
    """Whether a file that begins so is a picture that pods read."""
    return kind_of(head) in READ


def kind_of(head: bytes) -> str | None:
    """The format of a file that begins so."""
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
