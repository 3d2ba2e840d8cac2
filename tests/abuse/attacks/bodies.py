"""Bodies that are deep, long, packed, or no text at all."""

import gzip
import random
import zlib
from functools import cache

from tests.abuse.attacks.attack import POSTS, Attack, Make, post, post_json

_MIB = 2**20


def deep(rng: random.Random) -> Attack:
    depth = rng.choice((100, 1000, 100_000, 1_000_000))
    inner = rng.choice((b"[" * depth, b"[" * depth + b"]" * depth, b'{"a":' * depth + b"1" + b"}" * depth))
    body = rng.choice((inner, b'{"inputs": ' + inner + b"}", b'{"prompt": "a", "loras": ' + inner + b"}"))
    return post("deep JSON", rng.choice(POSTS), body)


def numbers(rng: random.Random) -> Attack:
    number = rng.choice(
        (b"9" * 100_000, b"1e999", b"-1e-999", b"NaN", b"Infinity", b"-0", b"0" * 5000, b"1" + b"0" * 400)
    )
    field = rng.choice(
        (b"seed", b"n", b"steps", b"width", b"strength", b"guidance_scale", b"batch_size", b"partial_images")
    )
    return post("numbers", rng.choice(POSTS), b'{"inputs": "a", "prompt": "a", "%s": %s}' % (field, number))


def texts(rng: random.Random) -> Attack:
    text = rng.choice(
        (
            b'"\\ud800"',
            b'"\\udfff\\ud800"',
            b'"a\\u0000b"',
            b'"\xff\xfe"',
            b'"\xed\xa0\x80"',
            b'"' + b"a" * (4 * _MIB) + b'"',
            b'"' + b"\\u00e9" * 100_000 + b'"',
            b'"' + "\u202e\u0301".encode() * 20_000 + b'"',
            b'"unended',
        )
    )
    field = rng.choice(
        (b"inputs", b"prompt", b"negative_prompt", b"model", b"size", b"scheduler", b"sampler_name", b"lora")
    )
    return post("texts", rng.choice(POSTS), b'{"inputs": "a", "prompt": "a", "%s": %s}' % (field, text))


def prompts(rng: random.Random) -> Attack:
    """Words that a reader of tags and weights might take long over."""
    size = rng.choice((1000, 50_000))
    prompt = (
        rng.choice(("(", "((a:", "[", "<lora:", "<lora:a:", "<lora:a:1>", "a:1.1)", "BREAK ", "\\", "(a:1e9)", "<"))
        * size
    )
    target = rng.choice(("/", "/v1/images/generations", "/sdapi/v1/txt2img"))
    return post_json("prompts", target, {"inputs" if target == "/" else "prompt": prompt})


def many(rng: random.Random) -> Attack:
    """Lists and objects with very many entries."""
    size = rng.choice((100, 10_000, 200_000))
    said = rng.choice(
        (
            {"inputs": "a", "prompt": "a", "loras": [{"name": "a"}] * size},
            {"inputs": "a", "prompt": "a", "loras": ["a:1"] * size},
            {"inputs": "a", "prompt": "a", "controls": [{}] * size},
            {"inputs": "a", "prompt": "a", **{f"k{i}": i for i in range(size)}},
            {"inputs": "a", "prompt": "a", "init_images": [""] * size, "images": [""] * size},
            {"inputs": "a", "parameters": {f"k{i}": [] for i in range(size)}},
        )
    )
    return post_json("many entries", rng.choice(POSTS), said)


@cache
def _packed() -> dict[str, bytes]:
    zeros = b'{"inputs": "' + b"a" * (64 * _MIB) + b'"}'
    return {
        "gzip": gzip.compress(zeros),
        "deflate": zlib.compress(zeros),
        "gzip, gzip": gzip.compress(gzip.compress(zeros)),
        "br": b"\x81\x16\x00\x58" * 20,
        "zstd": b"\x28\xb5\x2f\xfd" + b"\0" * 20,
        "nonsense": b"{}",
    }


def packed(rng: random.Random) -> Attack:
    encoding, body = rng.choice(sorted(_packed().items()))
    kind = rng.choice(("application/json", "text/plain", "multipart/form-data; boundary=b"))
    return post("packed bodies", rng.choice(POSTS), body, kind, (b"content-encoding", encoding.encode()))


def types(rng: random.Random) -> Attack:
    """Bodies under the name of something else."""
    kind = rng.choice(
        (
            "multipart/form-data",
            "multipart/form-data; boundary=" + "b" * 5000,
            'multipart/form-data; boundary="\\',
            "application/json; charset=utf-16",
            "application/x-www-form-urlencoded",
            "image/png",
            "text/plain; charset=\xff",
            ";" * 300,
            "",
        )
    )
    return post("types", rng.choice(POSTS), rng.randbytes(rng.choice((0, 1, 100, 70_000))), kind)


def forms(rng: random.Random) -> Attack:
    part = b'content-disposition: form-data; name="%s"\r\n\r\n%s\r\n'
    body = rng.choice(
        (
            (b"--b\r\n" + part % (b"prompt", b"a")) * rng.choice((100, 10_000, 100_000)) + b"--b--\r\n",
            b"--b\r\n" + part % (b"n" * 70_000, b"a") + b"--b--\r\n",
            b"--b\r\n" + part % (b"prompt", b"a" * (8 * _MIB)) + b"--b--\r\n",
            b"--b\r\n" + b"x-h: y\r\n" * 50_000 + b"\r\na\r\n--b--\r\n",
            b"--b\r\n" + b"x" * 500_000 + b": y\r\n\r\na\r\n--b--\r\n",
            b"--b\r\ncontent-disposition: form-data; name*=utf-8''%ff%00\r\n\r\na\r\n--b--\r\n",
            b'--b\r\ncontent-disposition: form-data; name="image"; filename="../../etc/x\0"\r\n\r\nGIF89a\r\n--b--\r\n',
            b"--b\r\n" * 50_000,
            b"--b--\r\n" * 50_000,
            b"--b\r\n\r\n\r\n",
            b"\r\n--b" * 100_000,
            b"",
        )
    )
    return post(
        "forms", rng.choice(("/v1/images/edits", "/v1/images/variations", "/")), body, "multipart/form-data; boundary=b"
    )


def large(rng: random.Random) -> Attack:
    size = rng.choice((1, 1, 2, 2, 2, 20, 34, 40)) * _MIB
    return post("large bodies", rng.choice(POSTS), b" " * size)


BODIES: tuple[Make, ...] = (deep, numbers, texts, prompts, many, packed, types, forms, large)
