"""The head of a request: pure."""

from collections.abc import Mapping


def post_head(host: str, path: str, headers: Mapping[str, str]) -> bytes:
    """Of a POST to that host. Raises: ValueError, where a header would begin another line."""
    lines = [f"POST {path} HTTP/1.1", f"host: {host}", "accept-encoding: identity"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    text = "\r\n".join(lines)
    if text.count("\n") != len(lines) - 1 or text.count("\r") != len(lines) - 1:
        raise ValueError("a header has a line end in it")
    return f"{text}\r\n\r\n".encode("latin-1")
