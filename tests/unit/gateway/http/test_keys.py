"""API keys from a mounted Secret."""

from base64 import b64encode
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from tests.unit.gateway.fakes import World

from lorapool_gateway.callers.entry import MAX_ENTRY_BYTES
from lorapool_gateway.errors import Unauthorized
from lorapool_gateway.http.keys import FRESH_S, ApiKeys


def mount(folder: Path, version: str, **keys: str) -> None:
    """Write the Secret as a kubelet does: a hidden folder per version, a link to it that is swapped, links to files."""
    data = folder / f"..{version}"
    data.mkdir(parents=True)
    for name, value in keys.items():
        (data / name).write_text(value)
    link = folder / "..data_tmp"
    link.symlink_to(data.name)
    link.rename(folder / "..data")
    for old in folder.iterdir():
        if old.is_symlink() and not old.name.startswith(".."):
            old.unlink()
    for name in keys:
        (folder / name).symlink_to(f"..data/{name}")


def accepts(keys: ApiKeys, authorization: str | None) -> bool:
    try:
        keys.check({} if authorization is None else {"authorization": authorization})
    except Unauthorized:
        return False
    return True


def test_without_a_secret_everyone_may_ask() -> None:
    assert accepts(ApiKeys(None), None)


def test_every_value_of_the_secret_is_a_key(tmp_path: Path) -> None:
    mount(tmp_path, "1", alice="key-a\n", bob="key-b")
    keys = ApiKeys(tmp_path)
    assert accepts(keys, "Bearer key-a")
    assert accepts(keys, "bearer key-b")


@pytest.mark.parametrize(
    ("headers", "is_valid"),
    [
        ({"authorization": f"Basic {b64encode(b'anyone:key-a').decode()}"}, True),
        ({"authorization": f"Basic {b64encode(b'key-a:').decode()}"}, False),
        ({"authorization": f"Basic {b64encode(b'a:wrong').decode()}", "x-api-key": "key-a"}, False),
        ({"authorization": "Basic not base64"}, False),
        ({"x-api-key": "key-a"}, True),
        ({"x-api-key": "wrong"}, False),
        ({"x-api-key": ""}, False),
    ],
)
def test_a_key_is_also_a_password_or_a_header_of_its_own(
    tmp_path: Path, headers: dict[str, str], is_valid: bool
) -> None:
    mount(tmp_path, "1", alice="key-a", empty="")
    keys = ApiKeys(tmp_path)
    if is_valid:
        assert keys.check(headers) == keys.check({"authorization": "Bearer key-a"})
    else:
        with pytest.raises(Unauthorized):
            keys.check(headers)


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Bearer wrong", "Basic key-a", "key-a", "Bearer é"])
def test_anything_else_is_refused(tmp_path: Path, header: str | None) -> None:
    mount(tmp_path, "1", alice="key-a", empty="")
    assert not accepts(ApiKeys(tmp_path), header)


def test_an_entry_that_cannot_be_read_lets_nobody_in_and_leaves_the_others(tmp_path: Path) -> None:
    mount(tmp_path, "1", slip="key: key-a\nadaptors: [team-a/pixel]", fine="key-b", large="x" * (MAX_ENTRY_BYTES + 1))
    (tmp_path / "noise").write_bytes(b"\xff\xfe key")
    keys = ApiKeys(tmp_path)
    assert not accepts(keys, "Bearer key-a")
    assert accepts(keys, "Bearer key-b")


def test_of_two_entries_with_one_key_the_first_name_counts(tmp_path: Path) -> None:
    mount(tmp_path, "1", a="key: same\nconcurrent: 1", b="same")
    assert ApiKeys(tmp_path).check({"x-api-key": "same"}).name == "a"


def test_no_key_is_logged(tmp_path: Path) -> None:
    mount(tmp_path, "1", a="key: secret-1\nslip: secret-2", b="secret-3", c="sha256: secret-4\nx: 1", d="{secret-5")
    with capture_logs() as lines:
        accepts(ApiKeys(tmp_path), "Bearer secret-6")
    assert len(lines) == 4
    assert "secret" not in str(lines)


def test_a_folder_that_is_empty_or_missing_lets_nobody_in(tmp_path: Path) -> None:
    assert not accepts(ApiKeys(tmp_path), "Bearer ")
    assert not accepts(ApiKeys(tmp_path / "missing"), "Bearer key-a")


def test_a_changed_secret_is_taken_up_without_a_restart(tmp_path: Path) -> None:
    now = [0.0]
    mount(tmp_path, "1", alice="key-a")
    keys = ApiKeys(tmp_path, clock=lambda: now[0])
    assert accepts(keys, "Bearer key-a")
    mount(tmp_path, "2", bob="key-b")
    now[0] += FRESH_S
    assert accepts(keys, "Bearer key-b")
    assert not accepts(keys, "Bearer key-a")


async def test_each_dialect_refuses_in_its_own_shape(tmp_path: Path) -> None:
    mount(tmp_path, "1", alice="key-a")
    world = World(keys=tmp_path)
    world.pool()
    world.pod()
    async with world.client() as client:
        hf = await client.post("/", content="a cat")
        openai = await client.post("/v1/images/generations", json={"prompt": "a cat"})
        models = await client.get("/v1/models")
        allowed = await client.post("/", content="a cat", headers={"authorization": "Bearer key-a"})
    assert (hf.status_code, openai.status_code, models.status_code, allowed.status_code) == (401, 401, 401, 200)
    assert "API key" in hf.json()["error"]
    assert openai.json()["error"]["code"] == "invalid_api_key"
    assert hf.headers["www-authenticate"] == "Bearer"
