"""Files by ranges (RFC 9110, 14), as the fake servers answer them."""

import re
from http.server import BaseHTTPRequestHandler

from tests.web import Reply


def ranged(request: BaseHTTPRequestHandler, content: bytes, etag: str, knows_ranges: bool = True) -> Reply:
    """The file, or the part of it that is asked for, with a strong ETag."""
    headers = {"accept-ranges": "bytes", "etag": f'"{etag}"'} if knows_ranges else {}
    asked = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range", ""))
    if asked is None or not knows_ranges or request.headers.get("if-range", f'"{etag}"') != f'"{etag}"':
        return Reply(200, content, headers)
    first, last = int(asked[1]), min(int(asked[2] or len(content)), len(content) - 1)
    if first >= len(content):
        return Reply(416, b"", {**headers, "content-range": f"bytes */{len(content)}"})
    place = f"bytes {first}-{last}/{len(content)}"
    return Reply(206, content[first : last + 1], {**headers, "content-range": place})
