"""The page's section about the operator."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from lorapool_bench.measure.result import read
from lorapool_bench.operator.result import IDLE, OperatorResult, OperatorScene
from lorapool_bench.operator.words import words
from lorapool_bench.show import page_parts
from lorapool_bench.show.page_parts import plot, table, targets, where
from lorapool_bench.show.words_of import megabytes, seconds, share

_TITLE: Final = "The control plane with thousands of adapters"
_COMMAND: Final = "make bench-operator"
_HOW: Final = """A real API server with etcd, the operator as a process with an account of its own, and pods that are a
few functions in one process: what they hold is ready at once, so that the figures are the operator's. All share the
cores of one machine, and the API server takes most of them. The adapters lie on a volume, each is held by two pods.
They are applied with `kubectl apply --server-side` from one file. A restart is over when the operator's metrics say of
each adapter that it is served. Writes are counted in the API server's audit log; an object is changed where its version
is another afterwards. CPU and memory are the operator's process alone, its start included where it starts; it has the
packages of its image.
"""


def section(results: Path, notes: Mapping[str, str]) -> str:
    result = read(OperatorResult, results, "operator")
    if result is None:
        return page_parts.not_measured(_TITLE, _COMMAND)
    head = [
        "what", "time", "longest", "CPU", "most memory", "finalizers", "statuses", "events",
        "the pool's objects and status", "of them changed", "the Lease",
    ]  # fmt: skip
    rows = [_row(scene) for scene in result.scenes]
    picture = plot("operator", "How long the operator takes")
    return "\n".join(
        (f"## {_TITLE}\n", picture, _HOW, targets(result, notes), table(head, rows), where(result, _COMMAND))
    )


def _row(scene: OperatorScene) -> list[str]:
    is_idle, writes = scene.what == IDLE, scene.writes
    took = f"({seconds(scene.lasted_s)})" if is_idle else seconds(scene.took_s)
    cpu = f"{share(scene.cpu_s / scene.lasted_s)} of a core" if is_idle else seconds(scene.cpu_s)
    slowest = "" if scene.slowest_s is None else seconds(scene.slowest_s)
    counts = map(str, (writes.finalizers, writes.statuses, writes.events, writes.others, scene.changed, writes.lease))
    return [words(scene), took, slowest, cpu, megabytes(scene.most_bytes), *counts]
