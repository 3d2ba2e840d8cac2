"""`python -m lorapool_bench.gateway.servers`: what servers and clients cost by themselves.

Each pair passes the same requests on to the same pod, a hundred in flight (`bare`); a table on standard output.
"""

import asyncio
import random
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Final

from lorapool_api import names
from lorapool_bench.gateway.load import latency, steady
from lorapool_bench.gateway.peers import BENCH_FOLDER
from lorapool_bench.gateway.place import Endpoint, asked
from lorapool_bench.gateway.processes import start, until_served

_PAIRS: Final = (
    ("h11", "aiohttp"),
    ("httptools", "aiohttp"),
    ("granian", "aiohttp"),
    ("httptools", "httpx"),
    ("granian", "httpx"),
)
_IN_FLIGHT: Final = 100
_COUNTED_S: Final = 4.0
_TAKES_S: Final = 1.0
_BARE: Final = Path(__file__).with_name("bare.py")


async def run() -> None:
    network = f"127.{random.randrange(64, 255)}.{random.randrange(1, 255)}"  # noqa: S311 -- no secret
    async with AsyncExitStack() as stack:
        pod = Endpoint(f"http://{network}.3:{names.SERVING_PORT}/v1/generate", "pod")
        await start(stack, ("-m", "lorapool_bench.gateway.pod", "clock", f"{network}.3"), {})
        await until_served(partial(asked, pod))
        straight = latency(await steady(pod, _IN_FLIGHT, _COUNTED_S, _TAKES_S))
        print(f"straight: {straight.p50_s * 1e3:.2f} ms, {straight.p99_s * 1e3:.2f} ms")
        for number, (server, client) in enumerate(_PAIRS, 10):
            async with AsyncExitStack() as pair:
                address = f"{network}.{number}"
                program = [str(BENCH_FOLDER / "bare/bin/python"), str(_BARE), server, client]
                processes = await start(pair, [*program, pod.url, address, str(names.SERVING_PORT)], {})
                way = Endpoint(f"http://{address}:{names.SERVING_PORT}/v1/generate", "pod")
                await until_served(partial(asked, way))
                before_s = processes.cpu_s
                through = latency(await steady(way, _IN_FLIGHT, _COUNTED_S, _TAKES_S))
                cpu_s = (processes.cpu_s - before_s) / (through.requests + _IN_FLIGHT)
                p50_s, p99_s = through.p50_s - straight.p50_s, through.p99_s - straight.p99_s
                added = f"p50 +{p50_s * 1e3:.2f} ms, p99 +{p99_s * 1e3:.2f} ms"
                print(f"{server}, {client}: {added}, CPU {cpu_s * 1e3:.2f} ms")


if __name__ == "__main__":
    asyncio.run(run())
