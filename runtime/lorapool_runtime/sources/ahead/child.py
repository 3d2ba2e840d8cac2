"""The process that brings files ahead: `python -m lorapool_runtime.sources.ahead.child`, by `process.AheadProcess`.

It takes orders from its standard input and answers each on its standard output when the file is there, in any order.
It ends when its input does.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import BinaryIO, Final, NoReturn

import structlog

from lorapool_api.kinds.conditions import Reason
from lorapool_api.wire.catalog import CatalogEntry
from lorapool_common import logs
from lorapool_runtime.adapters.checker import Checker
from lorapool_runtime.credentials import CredentialsNeeded
from lorapool_runtime.errors import AdapterError
from lorapool_runtime.sources.ahead.messages import (
    AheadAnswer,
    AheadOrder,
    AheadRefusal,
    AheadSetup,
    framed,
    read_frame,
)
from lorapool_runtime.sources.ahead.steps import FileSteps
from lorapool_runtime.sources.blobs import BlobFolder
from lorapool_runtime.sources.fetch import Fetcher
from lorapool_runtime.sources.lanes import DOWNLOADS

log = structlog.get_logger(__name__)

_ENDED: Final = 0


class OrderDesk:
    """Works on orders, each on a thread."""

    def __init__(self, setup: AheadSetup, send: Callable[[bytes], None]) -> None:
        self._blobs = BlobFolder(setup.cache, setup.bound_bytes)
        self._steps = FileSteps(Fetcher(self._blobs, setup.rules), self._blobs, setup.max_rank, Checker())
        self._send = send
        self._threads = ThreadPoolExecutor(DOWNLOADS, "download")
        self._given_up: dict[int, threading.Event] = {}
        self._sending = threading.Lock()
        self._reported_evictions = 0

    def take(self, order: AheadOrder, content: bytes) -> None:
        """Begin it, or give it up."""
        if order.entry is not None:
            self._given_up[order.number] = threading.Event()
            self._threads.submit(self._work, order.entry, order, content)
        elif (event := self._given_up.get(order.number)) is not None:
            event.set()

    def close(self) -> None:
        self._steps.close()

    def _work(self, entry: CatalogEntry, order: AheadOrder, content: bytes) -> None:
        answer = self._answer(entry, order, content)
        with self._sending:
            del self._given_up[order.number]
            evictions, self._reported_evictions = (
                self._blobs.evictions - self._reported_evictions,
                self._blobs.evictions,
            )
            self._send(framed(answer.model_copy(update={"evictions": evictions})))

    def _answer(self, entry: CatalogEntry, order: AheadOrder, content: bytes) -> AheadAnswer:
        event, number = self._given_up[order.number], order.number
        try:
            file = self._steps.fetch(entry, order.peer_file(content), order.credentials, event.is_set)
            return AheadAnswer.of(number, file)
        except CredentialsNeeded:
            return AheadAnswer(number=number, refused=AheadRefusal())
        except AdapterError as error:
            refusal = _refusal(error)
        except Exception as error:
            log.exception("bringing a file failed")
            message = f"unexpected {type(error).__name__}; see the pod's log"
            refusal = _refusal(AdapterError(Reason.INTERNAL_ERROR, message))
        return AheadAnswer(number=number, refused=refusal)


def _refusal(error: AdapterError) -> AheadRefusal:
    return AheadRefusal(reason=error.reason, message=error.message, transient=error.transient)


def main(orders: BinaryIO, answers: BinaryIO) -> NoReturn:
    """Until the input ends."""
    if (first := read_frame(orders)) is None:
        sys.exit(_ENDED)
    setup = AheadSetup.model_validate_json(first[0])
    logs.configure(setup.log_level)

    def send(frame: bytes) -> None:
        answers.write(frame)
        answers.flush()

    desk = OrderDesk(setup, send)
    send(framed(AheadAnswer(number=0)))
    while (frame := read_frame(orders)) is not None:
        desk.take(AheadOrder.model_validate_json(frame[0]), frame[1])
    desk.close()
    # Not by returning: nobody waits for downloads any more, and none leaves anything half done.
    os._exit(_ENDED)


if __name__ == "__main__":
    # Ctrl-C in a terminal is for the process that started this one; it ends this one by closing the pipe.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # What a library prints must not end up among the answers.
    pipe = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    main(sys.stdin.buffer, pipe)
