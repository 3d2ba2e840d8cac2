"""What the OpenAPI page says of requests and answers holds, whatever is asked."""

from pathlib import Path

import httpx
import pytest

from tests.abuse.described import describe_and_ask
from tests.abuse.target import attacked


@pytest.mark.timeout(240)
async def test_every_answer_is_one_that_the_page_describes(tmp_path: Path) -> None:
    async with attacked() as target, httpx.AsyncClient(timeout=60) as http:
        asked, wrong = await describe_and_ask(target, tmp_path, examples=3, seed=1)
        assert wrong == ""
        assert asked > 1_000
        await target.settled(http)
        assert (await target.good(http)).status_code == httpx.codes.OK
