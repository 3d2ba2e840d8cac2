"""Adapter files whose headers are costly to read, and what reading them costs."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

MIB: Final = 2**20
_MODULE: Final = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k"


def file_of(entries: bytes) -> bytes:
    """A LoRA of one module with these further entries in its header."""
    pair = json.dumps(_pair(_MODULE, 0)).encode()[1:-1]
    text = b"{" + entries + (b"," if entries else b"") + pair + b"}"
    return len(text).to_bytes(8, "little") + text + bytes(8)


def _pair(module: str, begin: int) -> dict[str, Any]:
    return {
        f"{module}.lora_down.weight": {"dtype": "F32", "shape": [1, 1], "data_offsets": [begin, begin + 4]},
        f"{module}.lora_up.weight": {"dtype": "F32", "shape": [1, 1], "data_offsets": [begin + 4, begin + 8]},
    }


def _metadata(entries: bytes) -> bytes:
    return b'"__metadata__":{' + entries + b"}"


def _tiny_entries(size_bytes: int) -> bytes:
    return file_of(_metadata(b",".join(b'"%x":""' % i for i in range(size_bytes // 10))))


def _tiny_objects(size_bytes: int, more: str = "") -> bytes:
    value = f'{{"unknown{more}":[' + "{}," * (size_bytes // 3) + "{}]}"
    return file_of(_metadata(b'"lora_adapter_metadata":' + json.dumps(value, ensure_ascii=False).encode()))


def _many_modules(modules: int, name_chars: int) -> bytes:
    entries: dict[str, Any] = {}
    for i in range(modules):
        entries |= _pair(f"lora_unet_{i:06}_{'x' * name_chars}", i * 8)
    text = json.dumps(entries, separators=(",", ":")).encode()
    return len(text).to_bytes(8, "little") + text + bytes(modules * 8)


def hostile_files() -> dict[str, bytes]:
    """Eight of them: what was found to be worst without limits, and the worst that fits the limits."""
    return {
        "metadata of tiny entries": _tiny_entries(15 * MIB),
        "metadata of tiny objects": _tiny_objects(15 * MIB),
        "the same with wide characters": _tiny_objects(15 * MIB, "😀"),
        "tiny objects within the limits": _tiny_objects(250_000),
        "wide characters within the limits": _tiny_objects(250_000, "😀"),
        "a thousand entries": file_of(_metadata(b",".join(b'"%03x":"%s"' % (i, b"x" * 240) for i in range(999)))),
        "as many modules as are read": _many_modules(4_999, 30),
        "as many tensors as are read": _many_modules(9_990, 10),
    }


@dataclass
class Cost:
    """What the event loop's thread worked between two turns of the loop, and what the process took.

    Attributes:
        grown_bytes: of memory, at its peak.
        thread_s, process_s: of processor time: the loop's thread, and all threads of this process.
    """

    stalls_s: list[float] = field(default_factory=list)
    grown_bytes: int = 0
    thread_s: float = 0.0
    process_s: float = 0.0

    @property
    def longest_stall_s(self) -> float:
        return max(self.stalls_s)


@contextlib.asynccontextmanager
async def measured() -> AsyncIterator[Cost]:
    """The cost of what happens on this event loop, in processor time of its thread: a busy machine adds nothing."""
    cost, done = Cost(), asyncio.Event()

    async def watch() -> None:
        last = time.thread_time()
        while not done.is_set():
            await asyncio.sleep(0.0005)
            now = time.thread_time()
            cost.stalls_s.append(now - last)
            last = now

    watching = asyncio.create_task(watch())
    thread_s, process_s = time.thread_time(), time.process_time()
    with _peak(cost):
        try:
            yield cost
        finally:
            done.set()
            await watching
            cost.thread_s = time.thread_time() - thread_s
            cost.process_s = time.process_time() - process_s


@contextlib.contextmanager
def _peak(cost: Cost) -> Iterator[None]:
    Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here on
    before = _kib("VmRSS")
    try:
        yield
    finally:
        cost.grown_bytes = (_kib("VmHWM") - before) * 1024


def _kib(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(f"{name}:")))
