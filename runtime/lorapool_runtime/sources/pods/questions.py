"""One question to another pod: whether it has a file, answered as soon as it is there."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Final

import aiohttp

from lorapool_api.kinds.conditions import Reason, Subject
from lorapool_api.wire.fleet import FileFound
from lorapool_api.wire.reply import ErrorCode, ErrorReply
from lorapool_common.http.bodies import TooLarge, read_at_most
from lorapool_runtime.errors import AdapterError
from lorapool_runtime.sources.pods import carried

POLL_S: Final = 30.0
ANSWER_S: Final = 10.0
_CONNECT_S: Final = 2.0
# The operator tells the pods one after the other: one that does not know of an entry yet soon will.
_UNKNOWN_S: Final = 20.0
# One that waits for another pod itself may wait for this one: their lists of pods differ for a moment.
_WAITING_S: Final = 5.0


class NotHere(Exception):
    """The pod cannot help."""


class NotYet(Exception):
    """The pod does not know of the entry, or waits for another pod itself.

    Attributes:
        within_s: how long that is worth asking again.
    """

    def __init__(self, message: str, within_s: float) -> None:
        super().__init__(message)
        self.within_s = within_s


class Questions:
    """Asks the control ports of other pods. Lives on the event loop."""

    def __init__(self, token: Callable[[], str]) -> None:
        """`token` gives the pool's control token, which the pods know each other by."""
        self._token = token
        self._opened: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._opened is not None:
            await self._opened.close()

    async def ask(self, host: str, query: str, *, now: bool = False) -> tuple[FileFound, bytes | None] | None:
        """What the pod says, and the file where that is small; None: it is on its way there.

        Args:
            now: only what it has already counts, and it begins nothing for it.

        Raises: NotHere, NotYet, AdapterError, aiohttp.ClientError, OSError.
        """
        headers = {"authorization": f"Bearer {self._token()}", "content-type": "application/json"}
        how = "now=1" if now else f"wait={POLL_S:.0f}"
        url = f"http://{host}/v1/files?{how}&carry={carried.CARRIED_MAX_BYTES}"
        async with self._session().post(url, data=query, headers=headers, allow_redirects=False) as answer:
            try:
                body = await read_at_most(answer.content.iter_any(), carried.ANSWER_MAX_BYTES)
            except TooLarge as error:
                answer.close()
                raise NotHere(str(error)) from error
        try:
            if answer.status == HTTPStatus.OK:
                has_content = answer.content_type == carried.MEDIA_TYPE
                return carried.split(body) if has_content else (FileFound.model_validate_json(body), None)
            reply = ErrorReply.model_validate_json(body)
        except ValueError as error:
            raise NotHere(f"an answer of status {answer.status} that is not understood") from error
        _judge(reply)
        return None

    def _session(self) -> aiohttp.ClientSession:
        """Never through a proxy: the pods are in the cluster. Answers are taken as they come, never decompressed."""
        if self._opened is None:
            self._opened = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0),
                timeout=aiohttp.ClientTimeout(total=POLL_S + ANSWER_S, sock_connect=_CONNECT_S),
                headers={"accept-encoding": "identity"},
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._opened


def _judge(reply: ErrorReply) -> None:
    """Return where the file is on its way. Raises: NotHere, NotYet, AdapterError."""
    match reply.code, reply.reason:
        case ErrorCode.ADAPTER_NOT_READY, _:
            return
        case ErrorCode.UNKNOWN_ADAPTER, _:
            raise NotYet(reply.message, _UNKNOWN_S)
        case ErrorCode.NOT_READY, _:
            raise NotYet(reply.message, _WAITING_S)
        case ErrorCode.ADAPTER_FAILED, Reason() as reason if reason.traits.subject in (Subject.SOURCE, Subject.FIT):
            raise AdapterError(reason, reply.message, transient=reply.retryable)
    raise NotHere(f"{reply.code}: {reply.message}")
