"""The least that passes a request on, in Python: what a server and a client cost by themselves.

    python bare.py SERVER CLIENT POD_URL ADDRESS PORT

SERVER is `h11` or `httptools` (uvicorn's parsers) or `granian`, CLIENT `aiohttp` or `httpx`. It imports nothing of this
repository, so that it runs in an environment that has all of them.
"""

import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Ask = Callable[[bytes], Awaitable[tuple[int, bytes]]]


def asked_by(client: str, url: str) -> Callable[[], Awaitable[Ask]]:
    """Makes the client, on the event loop that it serves."""

    async def by_aiohttp() -> Ask:
        import aiohttp

        session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))

        async def ask(body: bytes) -> tuple[int, bytes]:
            async with session.post(url, data=body, headers={"accept": "image/jpeg"}) as answer:
                return answer.status, await answer.read()

        return ask

    async def by_httpx() -> Ask:
        import httpx

        limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
        session = httpx.AsyncClient(limits=limits, timeout=None)  # noqa: S113 -- of a bench

        async def ask(body: bytes) -> tuple[int, bytes]:
            answer = await session.post(url, content=body, headers={"accept": "image/jpeg"})
            return answer.status_code, answer.content

        return ask

    return {"aiohttp": by_aiohttp, "httpx": by_httpx}[client]


class Bare:
    """An ASGI application that sends each body on, and its answer back."""

    def __init__(self, connect: Callable[[], Awaitable[Ask]]) -> None:
        self._connect = connect
        self._ask: Ask | None = None

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        self._ask = self._ask or await self._connect()
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        status, answer = await self._ask(body)
        headers = [(b"content-type", b"image/jpeg"), (b"content-length", str(len(answer)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": answer})


def serve(server: str, app: Bare, address: str, port: int) -> None:
    """Until the process is ended."""
    import uvloop

    if server == "granian":
        from granian.constants import Interfaces  # type: ignore[import-not-found]
        from granian.server.embed import Server  # type: ignore[import-not-found]

        uvloop.run(Server(app, address=address, port=port, interface=Interfaces.ASGINL, log_enabled=False).serve())
        return
    import uvicorn

    config = uvicorn.Config(app, address, port, http=server, loop="uvloop", log_level="critical", access_log=False)
    uvicorn.Server(config).run()


if __name__ == "__main__":
    server_, client_, url_, address_, port_ = sys.argv[1:]
    serve(server_, Bare(asked_by(client_, url_)), address_, int(port_))
