"""One answer of a store, one reason: the operator's look and the pods' download say the same of it."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.files import lora_file
from tests.web import Reply, Web, serving

from lorapool_api.fetch.policy import SourceRefused
from lorapool_api.kinds.conditions import Reason
from lorapool_api.lora.header import FactsError
from lorapool_api.wire.sources.objects import S3File
from lorapool_operator.sources.header import Headers
from lorapool_runtime.errors import AdapterError
from lorapool_runtime.sources.limits import Expected
from lorapool_runtime.sources.stores import objects as pods


@pytest.fixture
def web() -> Iterator[Web]:
    with serving() as it:
        it.answers["/loras/good"] = Reply(body=lora_file())
        yield it


@pytest.fixture
async def headers(web: Web) -> AsyncIterator[Headers]:
    async with Headers((web.host,)) as it:
        yield it


async def looked(headers: Headers, web: Web, key: str) -> Reason | None:
    try:
        await headers.of_object(f"{web.url}/loras/{key}", "s3://loras/x", is_provider=False, is_signed=False)
    except (SourceRefused, FactsError) as error:
        return error.reason
    return None


def downloaded(web: Web, key: str, folder: Path) -> Reason | None:
    source = S3File(container="loras", key=key, endpoint=web.url, anonymous=True)
    try:
        pods.fetch(source, (web.host,), folder / "file", Expected(None, None, 10**6), lambda: False)
    except AdapterError as error:
        return error.reason
    return None


async def test_both_say_the_same_of_every_status(web: Web, headers: Headers, tmp_path: Path) -> None:
    statuses = [s for s in range(300, 600) if s != 304]
    web.answers |= {f"/loras/{s}": Reply(s, headers={"x-ms-error-code": "X"}) for s in statuses}
    found = {s: (await looked(headers, web, str(s)), downloaded(web, str(s), tmp_path)) for s in statuses}
    assert {s: pair for s, pair in found.items() if pair[0] is not pair[1]} == {}
    assert found[400][0] is found[401][0] is found[403][0] is Reason.SOURCE_FORBIDDEN
    assert found[404][0] is Reason.SOURCE_NOT_FOUND
    assert found[429][0] is found[500][0] is found[503][0] is Reason.SOURCE_UNAVAILABLE
    assert found[412][0] is Reason.CHECKSUM_MISMATCH


async def test_a_good_object_is_good_for_both(web: Web, headers: Headers, tmp_path: Path) -> None:
    assert (await looked(headers, web, "good"), downloaded(web, "good", tmp_path)) == (None, None)


async def test_an_account_that_lets_nobody_read_without_a_key_forbids_it(
    web: Web, headers: Headers, tmp_path: Path
) -> None:
    """Azure says 409 of it."""
    web.answers["/loras/closed"] = Reply(409, headers={"x-ms-error-code": "PublicAccessNotPermitted"})
    assert await looked(headers, web, "closed") is Reason.SOURCE_FORBIDDEN
    assert downloaded(web, "closed", tmp_path) is Reason.SOURCE_FORBIDDEN
