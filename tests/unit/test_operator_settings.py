"""Settings from the environment of the pod."""

from pathlib import Path

import pytest
from lorapool_api.pool import Engine
from lorapool_operator.settings import Settings, SettingsError


def test_lists_are_written_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LORAPOOL_NAMESPACES", "a, b,,c ")
    monkeypatch.setenv("LORAPOOL_URL_HOSTS", "")
    monkeypatch.setenv("POD_NAME", "operator-0")
    monkeypatch.setenv("POD_IP", "10.0.0.1")
    settings = Settings()
    assert settings.namespaces == ("a", "b", "c")
    assert settings.url_hosts == ()
    assert (settings.identity, settings.address) == ("operator-0", "10.0.0.1")


def test_the_stub_has_its_own_image_where_there_is_one() -> None:
    both = Settings(runtime_image="full:1", stub_image="stub:1")
    assert (both.image_for(Engine.DIFFUSERS), both.image_for(Engine.STUB)) == ("full:1", "stub:1")
    assert Settings(runtime_image="full:1").image_for(Engine.STUB) == "full:1"


def test_a_missing_or_short_key_is_told_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="LORAPOOL_KEY_FILE"):
        Settings(key_file=tmp_path / "none").read_key()
    (tmp_path / "short").write_bytes(b"x")
    with pytest.raises(SettingsError, match="at least 16"):
        Settings(key_file=tmp_path / "short").read_key()
