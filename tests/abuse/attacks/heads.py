"""Heads of requests that are halves, floods, or two requests in one."""

import random

from tests.abuse.attacks.attack import HOST, Attack, Make, head

_BODY = b'{"inputs": "a cat"}'
_SMUGGLED = b"POST /smuggled HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n"
_TYPE = (b"content-type", b"application/json")


def half_head(rng: random.Random) -> Attack:
    whole = head("POST", b"/", [_TYPE, (b"content-length", b"19")])
    return Attack("half a head", (whole[: rng.randrange(1, len(whole) - 1)],), is_whole=False)


def half_body(rng: random.Random) -> Attack:
    said = rng.choice((20, 1000, 10**6, 33 << 20, 10**12))
    request = head("POST", b"/", [_TYPE, (b"content-length", str(said).encode())]) + _BODY
    return Attack("half a body", (request,), is_whole=False)


def goes_at_once(rng: random.Random) -> Attack:
    request = head("POST", b"/", [_TYPE, (b"content-length", str(len(_BODY)).encode())]) + _BODY
    return Attack("a client that goes", (request[: rng.randrange(len(request) // 2, len(request) + 1)],), goes=True)


def byte_by_byte(rng: random.Random) -> Attack:
    request = head("POST", b"/", [_TYPE, (b"content-length", str(len(_BODY)).encode())]) + _BODY
    step = rng.randrange(1, 9)
    return Attack("a few bytes at a time", tuple(request[i : i + step] for i in range(0, len(request), step)))


def two_lengths(rng: random.Random) -> Attack:
    """Both a length and chunks, two lengths, lengths that are none: whoever stands in front reads another end."""
    chunked = b"0\r\n\r\n" + _SMUGGLED
    length = str(len(chunked)).encode()
    pairs = rng.choice(
        (
            [(b"content-length", length), (b"transfer-encoding", b"chunked")],
            [(b"transfer-encoding", b"chunked"), (b"content-length", length)],
            [(b"content-length", length), (b"transfer-encoding", b"xchunked")],
            [(b"content-length", length), (b"transfer-encoding", b"chunked, identity")],
            [(b"content-length", length), (b"transfer-encoding", b"\x0bchunked")],
            [(b"content-length", length), (b"transfer-encoding ", b"chunked")],
            [(b"content-length", b"0"), (b"content-length", length)],
            [(b"content-length", b"0, " + length)],
            [(b"content-length", b"+" + length)],
            [(b"content-length", b"-1")],
            [(b"content-length", b"0x10")],
            [(b"content-length", b"9" * 400)],
            [(b"content-length", b"\xb2")],
            [(b"transfer-encoding", b"chunked"), (b"transfer-encoding", b"chunked")],
        )
    )
    lines = b"".join(name + b": " + value + b"\r\n" for name, value in (_TYPE, *pairs))
    request = b"POST / HTTP/1.1\r\nhost: " + HOST + b"\r\n" + lines + b"\r\n" + chunked
    # Where the length holds, all of it is one body, and where the chunks do, what follows is a request in its right.
    follows = pairs[-1] == (b"transfer-encoding", b"chunked") and len(pairs) == 2 and pairs[0] == pairs[1]
    return Attack("two lengths", (request,), is_whole=False, forbidden=b"" if follows else b"/smuggled")


def bad_chunks(rng: random.Random) -> Attack:
    chunks = rng.choice(
        (
            b"zz\r\nabc\r\n0\r\n\r\n",
            b"-1\r\nabc\r\n0\r\n\r\n",
            b"ffffffffffffffffffff\r\nabc\r\n0\r\n\r\n",
            b"3;" + b"x" * 70_000 + b"\r\nabc\r\n0\r\n\r\n",
            b"3\nabc\n0\n\n",
            b"2\r\nabc\r\n0\r\n\r\n",
            b"3\r\nabc\r\n0\r\n" + b"x: y\r\n" * 5000 + b"\r\n",
            b"".join(b"1\r\na\r\n" for _ in range(5000)) + b"0\r\n\r\n",
        )
    )
    request = head("POST", b"/", [_TYPE, (b"transfer-encoding", b"chunked")]) + chunks
    return Attack("chunks that are none", (request,), is_whole=False)


def flood(rng: random.Random) -> Attack:
    lines = rng.choice(
        (
            [(b"x-%d" % i, b"y") for i in range(rng.choice((200, 2000, 20_000)))],
            [(b"x", b"y" * rng.choice((1000, 70_000, 1 << 20)))],
            [(b"lora", b"pixel:0.5")] * 400,
            [(b"cookie", b"a=b; " * 3000)],
            [(b"accept", b"image/png;q=0.5, " * 2500)],
            [(b"accept", b"image/png;q=" + b"9" * 3000)],
            [(b"authorization", b"Basic " + b"A" * 9000)],
            [(b"traceparent", b"00-" + b"g" * 300)],
            [(b"x-request-id", b"\xff" * 200)],
            [(b"x-lorapool-pool", b"../" * 900)],
        )
    )
    return Attack("a flood of headers", (head("POST", b"/", [*lines, (b"content-length", b"0")]),), is_whole=False)


def odd_line(rng: random.Random) -> Attack:
    """First lines and headers that no standard knows."""
    request = rng.choice(
        (
            b"GET /\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + rng.randbytes(200),
            b"POST / HTTP/9.9\r\nhost: x\r\n\r\n",
            b"GET / HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1\nhost: x\n\n",
            b"GET / HTTP/1.1\r\nhost: x\r\nhost: y\r\n\r\n",
            b"GET / HTTP/1.1\r\nhost: x\r\n folded: y\r\n\r\n",
            b"GET / HTTP/1.1\r\nhost: x\r\nno colon\r\n\r\n",
            b"GET / HTTP/1.1\r\nhost: x\r\nnul: a\0b\r\n\r\n",
            b"G\0T / HTTP/1.1\r\nhost: x\r\n\r\n",
            b"A" * 100_000,
            rng.randbytes(rng.randrange(1, 3000)),
            b"GET " + b"/" * 70_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n",
        )
    )
    return Attack("a line that is none", (request,), is_whole=False)


def odd_target(rng: random.Random) -> Attack:
    """Paths and queries that a router must take as they come."""
    target = rng.choice(
        (
            b"/%00",
            b"/models/%00%ff%fe",
            b"/models/" + b"a/" * 2000,
            b"/models/..%2f..%2fetc/passwd",
            b"//v1//images//generations",
            b"/v1/models/%ed%a0%80",
            b"/v1/models/" + b"%F0%9F%98%80" * 300,
            b"/pools/%2e%2e/x/v1/models",
            b"/pools/default/bench",
            b"/pools/default/nobody/sdapi/v1/loras",
            b"/?lora=" + b"a:1,," * 2000,
            b"/?" + b"&".join(b"a%d=b" % i for i in range(3000)),
            b"/?prompt=%ff%fe&strength=nan&width=1e999",
            b"/sdapi/v1/progress?skip_current_image=" + b"9" * 500,
            b"http://elsewhere.example/v1/models",
            b"*",
            b"/v1/models?" + b"%" * 500,
        )
    )
    method = rng.choice(("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT", "NONSENSE"))
    more = rng.choice(
        (
            [],
            [(b"upgrade", b"websocket"), (b"sec-websocket-key", b"x")],
            [(b"upgrade", b"h2c"), (b"http2-settings", b"AAMAAABkAARAAAAAAAIAAAAA")],
            [(b"expect", b"100-continue")],
            [(b"expect", b"nothing good")],
            [(b"origin", b"null"), (b"access-control-request-method", b"\x80")],
            [(b"range", b"bytes=0-" + b"9" * 100)],
        )
    )
    return Attack("an odd path or method", (head(method, target, [*more, (b"content-length", b"0")]),), is_whole=False)


def many_at_once(rng: random.Random) -> Attack:
    """Requests one behind the other on a connection, whose answers nobody reads before the last is sent."""
    one = b"GET /v1/models HTTP/1.1\r\nhost: x\r\n\r\n"
    return Attack("requests in a row", (one * rng.choice((2, 50, 500)),), is_whole=False)


HEADS: tuple[Make, ...] = (
    half_head,
    half_body,
    goes_at_once,
    byte_by_byte,
    two_lengths,
    bad_chunks,
    flood,
    odd_line,
    odd_target,
    many_at_once,
)
