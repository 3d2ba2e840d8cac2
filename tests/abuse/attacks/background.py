"""Requests in the background: what they are for, IDs that are none, answers that nobody fetches."""

import base64
import random
from typing import Any, Final

from tests.abuse.attacks.attack import POSTS, Attack, Make, head, post_json
from tests.abuse.attacks.pictures import picture

JOBS: Final = "/v1/jobs"
_GOOD: Final = {"url": "/v1/images/generations", "body": {"prompt": "a cat"}}


def begun(rng: random.Random) -> Attack:
    """For odd paths, of odd bodies, more of them than anybody waits for."""
    url = rng.choice(
        (
            *POSTS,
            *(
                "",
                "/v1/models",
                "/../..",
                "//",
                "https://elsewhere.example/",
                "/v1/jobs/x",
                "/\0",
                "/?lora=a",
                "/ü",
                "*",
                "/models/%ff%fe",
                "/models/%00",
            ),
            "/" * 5000,
        )
    )
    body: Any = rng.choice(
        (
            {"prompt": "a cat", "inputs": "a cat"},
            {"prompt": "a cat", "n": 4, "size": "1024x1024"},
            {"prompt": "a cat", "stream": True, "partial_images": 3},
            {"prompt": "a cat", "steps": 1000},
            {"url": url, "body": {"url": url, "body": {}}},
            {"prompt": "\ud800"},
            {"prompt": "a cat", "image": base64.b64encode(picture(rng)).decode()},
            [],
            None,
            "a cat",
            {"prompt": "x" * 300_000},
        )
    )
    more = rng.choice(
        ({}, {"custom_id": "x" * 100_000}, {"custom_id": "\ud800"}, {"previews": 10**9}, {"method": "GET"})
    )
    return post_json("in the background", JOBS, {"url": url, "body": body, **more})


def ids(rng: random.Random) -> Attack:
    """IDs that nobody has made."""
    id_ = rng.choice(
        (
            base64.urlsafe_b64encode(rng.randbytes(54)).decode(),
            "A" * 72,
            "_" * 72,
            base64.urlsafe_b64encode(b"\0" * 10 + b"\xff\xff\x7f\0\0\1" + b"\x1f\x91" + rng.randbytes(36)).decode(),
            "..%2f..",
            "%00",
            "a" * 60_000,
            "%ed%a0%80",
            "",
        )
    )
    tail = rng.choice(("", "/result", "/events", "/x", ".png"))
    path = rng.choice((JOBS, "/v1/images/files", "/pools/default/bench/v1/jobs"))
    method = rng.choice(("GET", "HEAD", "DELETE", "POST"))
    request = head(method, f"{path}/{id_}{tail}".encode(), [(b"content-length", b"0")])
    return Attack("IDs that are none", (request,), is_whole=False)


def goes_on(rng: random.Random) -> Attack:
    """One that begins and leaves its answer to be kept, from a client that is gone before it is told the ID."""
    made = post_json("left in the background", JOBS, _GOOD | {"custom_id": str(rng.random())})
    return Attack(made.kind, made.pieces, goes=True)


def regions(rng: random.Random) -> Attack:
    """Masks of adapters and pictures of controls that are none."""
    bomb, other = (base64.b64encode(picture(rng)).decode() for _ in range(2))
    odd: Any = rng.choice((1e308, -1, 0, "1", None, [], 2**63))
    masked = [{"name": "bench", "scale": odd, "mask": bomb}] * rng.choice((1, 4, 40))
    controls = [{"name": rng.choice(("canny", "", "\0")), "image": bomb, "scale": odd, "start": odd, "end": 2}] * 3
    said: dict[str, Any] = rng.choice(({"loras": masked}, {"controls": controls}, {"loras": masked, "mask": other}))
    target = rng.choice(("/v1/images/generations", "/v1/images/edits", "/"))
    return post_json("masks and controls", target, {"prompt": "a", "inputs": "a", "image": other, **said})


BACKGROUND: tuple[Make, ...] = (begun, ids, goes_on, regions)
