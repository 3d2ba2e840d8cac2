"""Settings from the environment of the pod."""

from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import pytest

from lorapool_api.kinds.runtime import EngineName
from lorapool_api.names import ADAPTER_FINALIZER
from lorapool_common.http.listening import listen_host
from lorapool_common.signed.calls import SignedCall
from lorapool_common.signed.keys import KeyUnusable
from lorapool_operator.cluster.watching.kopf_settings import watch_settings
from lorapool_operator.settings import Settings


def test_lists_are_written_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LORAPOOL_NAMESPACES", "a, b,,c ")
    monkeypatch.setenv("LORAPOOL_URL_HOSTS", "")
    monkeypatch.setenv("POD_NAME", "operator-0")
    monkeypatch.setenv("POD_IP", "10.0.0.1")
    settings = Settings()
    assert settings.namespaces == ("a", "b", "c")
    assert settings.url_hosts == ()
    assert (settings.identity, settings.address) == ("operator-0", listen_host(None, None))


def test_the_stub_has_its_own_image_where_there_is_one() -> None:
    both = Settings(runtime_image="full:1", stub_image="stub:1")
    assert (both.image_for(EngineName.DIFFUSERS), both.image_for(EngineName.STUB)) == ("full:1", "stub:1")
    assert Settings(runtime_image="full:1").image_for(EngineName.STUB) == "full:1"


def test_a_missing_or_short_key_is_told_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(KeyUnusable, match="cannot be read"):
        Settings(key_file=tmp_path / "none").read_keys()
    (tmp_path / "short").write_bytes(b"x")
    with pytest.raises(KeyUnusable, match="at least 16"):
        Settings(key_file=tmp_path / "short").read_keys()


def test_pods_trust_the_newest_keys_alone_and_calls_are_signed_with_all(tmp_path: Path) -> None:
    for name in ("key", "key.previous", "gateway"):
        (tmp_path / name).write_bytes(name.encode() * 16)
    settings = Settings(key_file=tmp_path / "key", gateway_key_file=tmp_path / "gateway")
    keys = settings.read_keys()
    assert (len(keys.operators), len(keys.trusted.operators), len(keys.trusted.gateways)) == (2, 1, 1)
    assert len(keys.signer.token(SignedCall("p:1", "GET", "/")).split(",")) == 2
    (tmp_path / "key.previous").unlink()
    assert settings.read_keys().trusted == keys.trusted  # so no pod starts anew
    assert Settings(key_file=tmp_path / "key").read_keys().trusted.gateways == ()


def test_the_operator_outlives_an_api_server_that_is_away_for_minutes() -> None:
    """kopf iterates anew for each request, and ends the operator where the delays end."""
    delays = watch_settings().networking.error_backoffs
    assert isinstance(delays, Iterable)
    for _ in range(2):
        assert len(list(islice(delays, 200))) == 200
    assert max(islice(delays, 200)) <= 2.0


def test_kopf_keeps_nothing_on_objects_and_posts_nothing() -> None:
    settings = watch_settings()
    assert not settings.posting.enabled
    assert settings.peering.standalone
    assert settings.persistence.finalizer != ADAPTER_FINALIZER
    assert settings.queueing.worker_limit is None
    assert isinstance(settings.watching.server_timeout, int)
