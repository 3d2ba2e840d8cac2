"""Only signed calls come in: before any route is looked for, and before a byte of a body is read."""

import hashlib
from collections.abc import Callable
from typing import Final

from lorapool_api.wire.reply import ErrorCode
from lorapool_common.http.server import App, Message, Receive, Send
from lorapool_common.signed.calls import SIGNATURE_HEADER, NotSigned, Verifier
from lorapool_runtime.errors import RequestError
from lorapool_runtime.http import errors

_HEADER: Final = SIGNATURE_HEADER.encode()


class SignatureGate:
    """An ASGI application behind signatures."""

    def __init__(self, app: App, verifier: Verifier, unsigned: App, may_be_unsigned: Callable[[str], bool]) -> None:
        """
        Args:
            unsigned: gets the calls that nobody has signed, on the paths that may be so; it asks for what it needs.
        """
        self._app = app
        self._verifier = verifier
        self._unsigned = unsigned
        self._may_be_unsigned = may_be_unsigned

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        tokens = next((value.decode("latin-1") for name, value in scope["headers"] if name == _HEADER), None)
        if tokens is None and self._may_be_unsigned(scope["path"]):
            await self._unsigned(scope, receive, send)
            return
        try:
            sha256 = self._verifier.check(tokens or "", scope["method"], _target(scope))
        except NotSigned as error:
            await errors.reply(_refusal(error))(scope, receive, send)
            return
        await self._app(scope, _proved(receive, sha256), send)


def _target(scope: Message) -> str:
    """Path and query as they came."""
    query = scope["query_string"].decode("latin-1")
    path = scope["raw_path"].decode("latin-1")
    return f"{path}?{query}" if query else path


def _proved(receive: Receive, sha256: str) -> Receive:
    """The body as it comes; its last piece only where the whole is what was signed. Raises: RequestError."""
    hashed = hashlib.sha256()

    async def received() -> Message:
        message = await receive()
        if message["type"] == "http.request":
            hashed.update(message.get("body", b""))
            if not message.get("more_body", False) and hashed.hexdigest() != sha256:
                raise _refusal(NotSigned("its body is another than the one that was signed"))
        return message

    return received


def _refusal(error: NotSigned) -> RequestError:
    return RequestError(ErrorCode.UNAUTHORIZED, f"the call is refused: {error}")
