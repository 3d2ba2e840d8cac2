"""The page's section about whole pictures."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from lorapool_bench.gpu.result import GpuResult, PictureWay, TrafficWay
from lorapool_bench.measure.result import read
from lorapool_bench.show.page_parts import table, timing, where
from lorapool_bench.show.words_of import gib, seconds, times

ON_CUDA: Final = "gpu"
ON_CPU: Final = "gpu-cpu"
_TITLE: Final = "Whole pictures"
_COMMAND: Final = "make bench-gpu"
_HOW: Final = """From a request to its pictures, prompts and VAE included, guided, by Euler ancestral, through the
product's own
engine; traffic goes through its queue too. The adapters are of rank 16 on the attention, their weights random.
Traffic is requests for 130 adapters, the n-th wanted 1/n as often as the first, each client asking for the next
picture when it has the last one. The article's flow is `load_lora_weights`, `fuse_lora`, the picture,
`unfuse_lora`, `unload_lora_weights`; it keeps an adapter that the next request wants again. A switch is what it
takes to have the request's adapter active, from wherever it is: in traffic the first request for an adapter reads
it from disk.
"""


def section(results: Path, notes: Mapping[str, str]) -> str:
    parts = [f"## {_TITLE}\n", _HOW]
    cuda, cpu = read(GpuResult, results, ON_CUDA), read(GpuResult, results, ON_CPU)
    if cuda is None:
        parts += ["### On a GPU\n", f"Not measured: no GPU was at hand. `{_COMMAND}` measures it where there is one.\n"]
    else:
        parts += ["### On a GPU\n", _measured(cuda)]
    if cpu is None:
        parts += ["### On a CPU, in small\n", f"Not measured yet: `{_COMMAND}` where there is no GPU.\n"]
    else:
        parts += ["### On a CPU, in small\n", _measured(cpu)]
    return "\n".join(parts)


def _measured(result: GpuResult) -> str:
    what = f"{result.subject}: a UNet of {result.parameters / 1e6:,.1f} M parameters.\n"
    parts = [what]
    if result.pictures:
        head = ["pictures", "in a forward", "a second", "p50", "p95", "compiled in"]
        parts.append(table(head, [_picture(way) for way in result.pictures]))
    if result.traffic:
        head = ["traffic", "pictures a second", "p50", "p95", "a switch", "adapters were on"]
        parts.append(_asked(result.traffic[0]))
        parts.append(table(head, [_traffic(way) for way in result.traffic]))
    if result.switches:
        parts.append(table(["a switch", ""], [[s.words, timing(s.switch)] for s in result.switches]))
    if result.cold_start:
        stages = result.cold_start
        parts.append(table(list(stages), [[seconds(s) for s in stages.values()]]))
    if result.wake:
        parts.append(_wake(result.wake, result.cold_start))
    if result.memory:
        parts.append(table(["memory", ""], [[name, _bytes(size)] for name, size in result.memory.items()]))
    if result.left_out:
        parts.append(f"Left out: {', '.join(result.left_out)}.\n")
    parts.append(where(result, _COMMAND))
    return "\n".join(parts)


def _picture(way: PictureWay) -> list[str]:
    made = "" if way.compile_s is None else seconds(way.compile_s)
    latency = way.latency
    return [way.words, f"{way.rows}", f"{way.images_per_s:.3g}", seconds(latency.p50_s), seconds(latency.p95_s), made]


def _wake(wake: Mapping[str, float], cold_start: Mapping[str, float]) -> str:
    """An engine that slept, beside one that is started; the way to sleep is nobody's wait."""
    cold_s = sum(cold_start.values())
    until_s = sum(took_s for stage, took_s in wake.items() if stage != "sleep")
    head = ["from sleep", *wake, "to its first picture", "of a cold start"]
    return table(head, [["", *(seconds(s) for s in wake.values()), seconds(until_s), times(until_s / cold_s)]])


def _asked(way: TrafficWay) -> str:
    return f"{way.requests} requests for {way.adapters} of the adapters:\n"


def _traffic(way: TrafficWay) -> list[str]:
    tiers = ", ".join(f"{tier} {count}" for tier, count in sorted(way.tiers.items()))
    latency = way.latency
    return [
        way.words,
        f"{way.images_per_s:.3g}",
        seconds(latency.p50_s),
        seconds(latency.p95_s),
        timing(way.switch),
        tiers,
    ]


def _bytes(size: int) -> str:
    return gib(size) if size >= 2**30 else f"{size / 2**20:.3g} MiB"
