"""A long list in JSON is read row by row, and the event loop has its turns in between."""

import asyncio
from typing import Any

import pytest

from lorapool_runtime.http.rows import read_rows


async def read(text: str | bytes) -> dict[str, Any]:
    return await read_rows(text.encode() if isinstance(text, str) else text, "rows", lambda row: row["n"])


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("{}", {}),
        ('{"a":1}', {"a": 1}),
        ('{"rows":[]}', {"rows": []}),
        (
            ' { "rows" : [ {"n": 1} , {"n": [2, "]"]} ] , "a" : {"rows": [3]} }\n',
            {"rows": [1, [2, "]"]], "a": {"rows": [3]}},
        ),
        ('{"a":"ä\\"", "rows":[{"n":null}]}', {"a": 'ä"', "rows": [None]}),
    ],
)
async def test_fields_and_rows_are_read(text: str, fields: dict[str, Any]) -> None:
    assert await read(text) == fields


@pytest.mark.parametrize(
    "text",
    [
        "", "null", "[]", "{", '{"a"', '{"a":}', '{"a":1,}', "{1:2}", '{"a":1}{}', '{"rows":{}}', '{"rows":null}',
        '{"rows":[{"n":1},]}', '{"rows":[{"n":1}', '{"rows":[{"n":1} {"n":2}]}', '{"rows":' + "[" * 100_000,
        b'{"a":"\xff"}',
    ],
)  # fmt: skip
async def test_what_is_no_such_object_is_refused(text: str | bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        await read(text)


async def test_others_have_their_turns_while_a_long_list_is_read() -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    rows = ",".join('{"n":1}' for _ in range(5000))
    assert len((await read(f'{{"rows":[{rows}]}}'))["rows"]) == 5000
    task.cancel()
    assert turns >= 50
