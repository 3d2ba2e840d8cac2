"""GET as sources are asked: redirects followed by hand, so that each hop can be refused, and errors typed."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Final

import httpx

from lorapool_api.fetch.client_errors import refused_by_client
from lorapool_api.fetch.policy import UrlFetch

_UNSATISFIABLE: Final = 416
_RANGE: Final = "range"

# Sends one request to where the fetch stands.
Send = Callable[[UrlFetch, Mapping[str, str]], Awaitable[httpx.Response]]


@asynccontextmanager
async def opened(fetch: UrlFetch, send: Send, headers: Mapping[str, str]) -> AsyncIterator[httpx.Response]:
    """The answer after all redirects, its body not read yet and in no encoding that was not sent as it is.

    Raises:
        SourceRefused: what was answered instead; nothing was; the body broke off while it was read.
    """
    asked = {"accept-encoding": "identity", **headers}
    try:
        while True:
            response = await send(fetch, asked | fetch.headers())
            try:
                if response.status_code == _UNSATISFIABLE and _RANGE in asked:
                    del asked[_RANGE]
                    continue  # an empty file has no first byte; asked without a range it answers as it does the pods
                if fetch.answered(response.status_code, response.headers):
                    yield response
                    return
            finally:
                await response.aclose()
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
        raise refused_by_client(error, fetch.shown) from error
