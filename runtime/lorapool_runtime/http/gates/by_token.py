"""Only who has the pool's token comes in: before any route is looked for, and before a byte of a body is read."""

import hmac
from collections.abc import Callable

from lorapool_api.wire.reply import ErrorCode
from lorapool_common.http.server import App, Message, Receive, Send
from lorapool_runtime.errors import RequestError
from lorapool_runtime.http import errors


class TokenGate:
    """An ASGI application behind a token."""

    def __init__(self, app: App, token: Callable[[], str]) -> None:
        """`token` gives the token as it is now; empty: nobody comes in."""
        self._app = app
        self._token = token

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if not self._is_known(scope):
            error = RequestError(ErrorCode.UNAUTHORIZED, "the control port needs the pool's token")
            await errors.reply(error)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _is_known(self, scope: Message) -> bool:
        expected = self._token()
        given = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        return bool(expected) and hmac.compare_digest(given, f"Bearer {expected}".encode())
