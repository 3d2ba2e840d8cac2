"""Work on untrusted input, in a process of its own: bounded in time and memory, and off the caller's GIL."""

import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import IO, Final, Self, TypeVar

import structlog

from lorapool_common.bounded.child import ANSWER, LENGTH_BYTES, NO_MEMORY

log = structlog.get_logger(__name__)

T = TypeVar("T")

_START_S: Final = 60.0
_CHUNK_BYTES: Final = 1 << 16
# Ends that are the work's own doing; any other signal came from outside.
_OWN_SIGNALS: Final = frozenset({signal.SIGXCPU, signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT})


class OverBounds(Exception):
    """The work took more time or memory than it may: trying again would end the same way."""


class WorkerUnavailable(Exception):
    """The process could not be started, ended for a reason of its own, or did not answer in time; it may pass."""


class BoundedWorker:
    """One process that answers requests one by one: started with the first, kept, replaced when it is over its time.

    It is a fresh interpreter that knows nothing of this one: no copy of its memory, none of its environment.
    """

    def __init__(
        self,
        module: str,
        *,
        memory_bytes: int = 128 * 1024 * 1024,
        cpu_s: float = 5.0,
        wall_s: float = 60.0,
        reply_bytes: int = 8 * 1024 * 1024,
        interpreter: Sequence[str] = (sys.executable, "-I"),
    ) -> None:
        """
        Args:
            module: its `answer(request: bytes) -> bytes` runs in the process; a request is never empty.
            memory_bytes: most address space that all requests together may add to that of the loaded module.
            cpu_s: most processor time of one request, to the second.
            wall_s: how long one request may take by the clock, which a busy machine stretches.
            reply_bytes: most that an answer may hold.
            interpreter: the command that runs Python; it starts without any environment.
        """
        self._command = [*interpreter, "-m", "lorapool_common.bounded.child", module, str(memory_bytes), str(cpu_s)]
        self._wall_s = wall_s
        self._reply_bytes = reply_bytes
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = ThreadPoolExecutor(1, "bounded")
        self._closed = False

    def submit(self, request: bytes, read: Callable[[bytes], T]) -> Future[T]:
        """What `read` makes of the answer, on this worker's own thread; requests are taken in their order.

        The future raises: OverBounds, WorkerUnavailable, and what `read` raises.
        """
        return self._thread.submit(lambda: read(self._ask(request)))

    @property
    def pid(self) -> int | None:
        """Of the process, while there is one."""
        return self._process.pid if self._process is not None else None

    def close(self) -> None:
        """End the process, and with it the request that it works on, now."""
        self._closed = True
        if (process := self._process) is not None:
            process.kill()
        self._thread.shutdown(cancel_futures=True)
        self._stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _ask(self, request: bytes) -> bytes:
        try:
            return self._try(request)
        except MemoryError:
            # Perhaps because of what earlier requests left in it.
            log.info("a bounded process had too little memory; asking a fresh one")
        try:
            return self._try(request)
        except MemoryError as error:
            raise OverBounds("it takes more memory than it may") from error

    def _try(self, request: bytes) -> bytes:
        """Raises: MemoryError where the process had too little, OverBounds, WorkerUnavailable."""
        if self._process is None or self._process.poll() is not None:
            self._process = self._started()
        try:
            reply = self._exchange(self._process, request, self._wall_s)
        except (OSError, TimeoutError) as error:
            raise self._ended(error) from error
        if reply[:1] == NO_MEMORY:
            self._stop()
            raise MemoryError
        return reply[len(ANSWER) :]

    def _started(self) -> subprocess.Popen[bytes]:
        if self._closed:
            raise WorkerUnavailable("it was closed")
        try:
            # No environment: it may hold tokens, and nothing here needs any of it.
            process = subprocess.Popen(  # noqa: S603 -- this interpreter, and a module of ours
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={}
            )
        except OSError as error:
            raise WorkerUnavailable(f"no process could be started: {error.strerror}") from error
        self._process = process
        if self._closed:  # in the meantime
            process.kill()
        for pipe in (process.stdin, process.stdout):
            os.set_blocking(_fd(pipe), False)
        try:
            self._exchange(process, b"", _START_S)
        except (OSError, TimeoutError) as error:
            raise self._ended(error) from error
        return process

    def _exchange(self, process: subprocess.Popen[bytes], request: bytes, within_s: float) -> bytes:
        """Send the request, if it has content, and receive a reply. Raises: TimeoutError, OSError at its end."""
        left = memoryview(len(request).to_bytes(LENGTH_BYTES, "little") + request if request else b"")
        received, deadline = bytearray(), time.monotonic() + within_s
        reader, writer = _fd(process.stdout), _fd(process.stdin)
        with selectors.DefaultSelector() as ready:
            ready.register(reader, selectors.EVENT_READ)
            if left:
                ready.register(writer, selectors.EVENT_WRITE)
            while True:
                for key, _ in ready.select(max(deadline - time.monotonic(), 0.0)):
                    if key.fd == reader:
                        received += _received(reader)
                    else:
                        left = left[os.write(writer, left[:_CHUNK_BYTES]) :]
                        if not left:
                            ready.unregister(writer)
                length = int.from_bytes(received[:LENGTH_BYTES], "little")
                if len(received) >= LENGTH_BYTES + length and len(received) >= LENGTH_BYTES:
                    return bytes(received[LENGTH_BYTES : LENGTH_BYTES + length])
                if length > self._reply_bytes:
                    raise TimeoutError("too long an answer")
                if time.monotonic() >= deadline:
                    raise TimeoutError(f"no answer within {within_s:.0f} s")

    def _ended(self, error: Exception) -> Exception:
        """The error that an end of the process, or of the time for an answer, is."""
        over = isinstance(error, TimeoutError)
        code = self._stop(kill=over)
        if not over and -code in _OWN_SIGNALS:
            return OverBounds("it takes more time than it may")
        log.warning("a bounded process was given up", code=code, error=str(error))
        return WorkerUnavailable(str(error) if over else f"the process ended with {code}")

    def _stop(self, *, kill: bool = True) -> int:
        """Its exit code; negative: the signal that ended it."""
        process, self._process = self._process, None
        if process is None:
            return 0
        if kill:
            process.kill()
        try:
            code = process.wait(5.0)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        return code


def _fd(pipe: IO[bytes] | None) -> int:
    if pipe is None:
        raise OSError("no pipe")
    return pipe.fileno()


def _received(fd: int) -> bytes:
    chunk = os.read(fd, _CHUNK_BYTES)
    if not chunk:
        raise BrokenPipeError("the process has ended")
    return chunk
