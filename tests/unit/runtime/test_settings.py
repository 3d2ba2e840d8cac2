"""What the environment of a pod means."""

from pathlib import Path

import pytest

from lorapool_api import names
from lorapool_api.kinds.base_model import BaseModelSpec
from lorapool_api.kinds.models.controls import ControlSpec
from lorapool_api.kinds.sources import ModelSource
from lorapool_api.wire.config import RuntimeConfig
from lorapool_common.http.listening import listen_host
from lorapool_runtime.settings import Settings

CONFIG = RuntimeConfig(pool="default/shapes", model=BaseModelSpec(source=ModelSource(path="/models/shapes-xl")))


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setenv(names.CONFIG_ENV, CONFIG.model_dump_json())
    monkeypatch.setenv("POD_NAME", "shapes-0")
    return monkeypatch


def test_a_pod_needs_nothing_but_its_configuration(environment: pytest.MonkeyPatch) -> None:
    settings = Settings()
    assert (settings.config, settings.pod_name) == (CONFIG, "shapes-0")
    assert (settings.serving_port, settings.control_port) == (names.SERVING_PORT, names.CONTROL_PORT)
    assert settings.cache == Path(names.CACHE_DIR)
    assert settings.control_token_file == Path(names.CONTROL_TOKEN_DIR) / "token"
    assert settings.grace_s == CONFIG.serving.request_timeout_seconds


@pytest.mark.parametrize("pod_ip", ["10.0.0.7", "127.8.0.3", "fd00::7"])
def test_only_a_loopback_address_is_listened_on_alone(environment: pytest.MonkeyPatch, pod_ip: str) -> None:
    environment.setenv("POD_IP", pod_ip)
    assert Settings().host == listen_host(None, pod_ip)


def test_an_address_to_listen_on_can_be_named(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("POD_IP", "10.0.0.7")
    environment.setenv("LORAPOOL_LISTEN", "127.0.0.5")
    assert Settings().host == "127.0.0.5"


def test_without_mounts_every_path_lies_below_the_pods_folder(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("LORAPOOL_POD_ROOT", "/run/pod")
    control = {"name": "edges", "source": {"path": "/models/edges"}}
    model = CONFIG.model.model_copy(update={"controls": (ControlSpec.model_validate(control),)})
    with_control = CONFIG.model_copy(update={"model": model})
    environment.setenv("LORAPOOL_RUNTIME_CONFIG", with_control.model_dump_json())
    settings = Settings()
    assert settings.model.controls[0].source.path == "/run/pod/models/edges"
    assert settings.cache == Path(f"/run/pod{names.CACHE_DIR}")
    assert settings.control_token_file.is_relative_to("/run/pod")
    assert settings.model.source.path == "/run/pod/models/shapes-xl"
    assert settings.config.model.source.label == "/models/shapes-xl"
