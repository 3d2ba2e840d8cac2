"""Checks of adapter files in a process of their own: none takes the engine's time, and none is without bounds."""

from pathlib import Path
from typing import Final

from lorapool_api.kinds.conditions import Reason
from lorapool_api.lora.facts import AdapterFacts
from lorapool_api.lora.facts_json import facts_in
from lorapool_api.lora.header import FactsError
from lorapool_common.bounded.worker import BoundedWorker, OverBounds, WorkerUnavailable
from lorapool_runtime.adapters import check_work
from lorapool_runtime.adapters.check import check_file, check_header
from lorapool_runtime.errors import AdapterError

# A file this small is checked where it is: that takes milliseconds, whatever it holds.
_AT_ONCE_BYTES: Final = 64 * 1024
# A header takes a second at most; the weights are looked through at some 800 MB a second.
_CPU_S: Final = 60.0
_WALL_S: Final = 300.0


class Checker:
    """One file at a time; the process starts with the first that is not tiny.

    Its calls block, and may come from many threads at once.
    """

    def __init__(self) -> None:
        self._worker = BoundedWorker(check_work.__name__, cpu_s=_CPU_S, wall_s=_WALL_S)

    def check(self, path: Path, max_rank: int, *, weights: bool = True) -> AdapterFacts:
        """The facts of a file that can be served: known layout, allowed rank, finite weights.

        Args:
            weights: whether to look through them too; else the header alone is read.

        Raises:
            AdapterError: with the reason of the first check that fails.
            FileNotFoundError: the file has left the cache.
        """
        if path.stat().st_size <= _AT_ONCE_BYTES:
            return check_file(path, max_rank) if weights else check_header(path, max_rank)
        try:
            return self._worker.submit(check_work.request(path, max_rank, weights=weights), facts_in).result()
        except FactsError as error:
            raise AdapterError.of(error) from error
        except OverBounds as error:
            raise AdapterError(Reason.INVALID_WEIGHTS, f"the file cannot be checked: {error}") from error
        except (WorkerUnavailable, RuntimeError) as error:  # RuntimeError: the pod ends
            message = f"the file could not be checked now: {error}"
            raise AdapterError(Reason.POD_FAILED, message, transient=True) from error

    @property
    def pid(self) -> int | None:
        """The process that checks; None while there is none."""
        return self._worker.pid

    def close(self) -> None:
        self._worker.close()
