"""Images through the gateway, with the clients that people use.

Each client is used as its own documentation shows it; all that is added is a look at the headers of the reply.
"""

import base64
import io
import json
import re
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx2  # what huggingface_hub speaks
import huggingface_hub
from openai import OpenAI

TIMEOUT_S = 120


@dataclass(frozen=True)
class DemoRequest:
    """What every client is asked for: the same picture of the same noise."""

    gateway: str
    prompt: str
    seed: int


@dataclass(frozen=True)
class DemoImage:
    """An image and what the gateway said of it."""

    image: bytes
    pod: str
    switch_ms: float
    inference_s: float
    sha256: tuple[str, ...]


class ClientFailed(Exception):
    """A client did not get its image."""


Client = Callable[[DemoRequest], DemoImage]


def curl(lora: str | None, parameters: Mapping[str, Any] | None = None) -> Client:
    """`curl` with the header `lora:`, as in the article; without it the base answers."""

    def make(request: DemoRequest) -> DemoImage:
        done = subprocess.run(  # noqa: S603 -- our own arguments
            curl_command(request, lora, parameters), capture_output=True, timeout=TIMEOUT_S
        )
        if done.returncode:
            raise ClientFailed(f"curl: {done.stderr.decode(errors='replace').strip()}")
        head, _, body = done.stdout.partition(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").split("\r\n")
        if " 200" not in status:
            raise ClientFailed(f"curl: {status}: {body[:500].decode(errors='replace')}")
        headers = dict(line.split(": ", 1) for line in lines)
        return _made(body, {k.lower(): v for k, v in headers.items()})

    return make


def curl_command(request: DemoRequest, lora: str | None, parameters: Mapping[str, Any] | None = None) -> list[str]:
    """The command as it would be pasted into a shell, but for the quotes."""
    body = json.dumps({"inputs": request.prompt, "parameters": {"seed": request.seed, **(parameters or {})}})
    header = ["-H", f"lora: {lora}"] if lora else []
    # Not --json, which curl 7.76 of Enterprise Linux 9 does not have.
    types = ["-H", "Content-Type: application/json", "-H", "Accept: image/png"]
    return ["curl", "-sS", "-i", *header, *types, "-d", body, request.gateway]


def hugging_face(lora: str) -> Client:
    """`huggingface_hub.InferenceClient`, the adapter named by a header."""

    def make(request: DemoRequest) -> DemoImage:
        replies: list[httpx2.Response] = []
        huggingface_hub.set_client_factory(lambda: httpx2.Client(event_hooks={"response": [replies.append]}))
        client = huggingface_hub.InferenceClient(model=request.gateway, headers={"lora": lora}, timeout=TIMEOUT_S)
        picture = client.text_to_image(request.prompt, seed=request.seed)
        encoded = io.BytesIO()
        picture.save(encoded, "PNG")
        return _made(encoded.getvalue(), replies[-1].headers)

    return make


def openai(model: str, loras: list[dict[str, Any]] | None = None) -> Client:
    """The `openai` client; a stack of adapters goes into `extra_body`."""

    def make(request: DemoRequest) -> DemoImage:
        client = OpenAI(base_url=f"{request.gateway}/v1", api_key="none", timeout=TIMEOUT_S)
        extra: dict[str, Any] = {"seed": request.seed} | ({"loras": loras} if loras else {})
        reply = client.images.with_raw_response.generate(
            model=model, prompt=request.prompt, response_format="b64_json", output_format="png", extra_body=extra
        )
        (image,) = reply.parse().data or []
        return _made(base64.b64decode(image.b64_json or ""), reply.headers)

    return make


def _made(image: bytes, headers: Mapping[str, str]) -> DemoImage:
    stages = dict(re.findall(r"(\w+);dur=([\d.]+)", headers.get("server-timing", "")))
    adapters = json.loads(headers.get("x-lorapool-adapters", "[]"))
    return DemoImage(
        image=image,
        pod=headers.get("x-lorapool-pod", "?"),
        switch_ms=float(stages.get("load", 0)) + float(stages.get("switch", 0)),
        inference_s=float(stages.get("inference", 0)) / 1000,
        sha256=tuple(a["sha256"] for a in adapters),
    )
