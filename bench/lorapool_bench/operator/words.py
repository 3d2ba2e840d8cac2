"""The scenes in words."""

from typing import Final

from lorapool_bench.operator import result
from lorapool_bench.operator.result import OperatorScene

_WORDS: Final = {
    result.BURST: "{} applied: from the last apply until all are served",
    result.ONE: "one more among {}",
    result.IDLE: "{}, nothing happens",
    result.RESTART: "{}, all served: a restart",
    result.DELETE: "{} deleted",
    result.COLD: "{} found by an operator that starts",
    result.COLD_DELETE: "{} deletions found by an operator that starts",
}


def words(scene: OperatorScene) -> str:
    return _WORDS[scene.what].format(f"{scene.adapters:,}")
