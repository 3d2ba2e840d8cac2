"""Each setting of a process is described in the code, and its variable is listed in the README: all and no other."""

import re

import pytest
from pydantic_settings import BaseSettings
from tests.unit.helpers.sources import ROOT

from lorapool_gateway.settings import Settings as GatewaySettings
from lorapool_operator.settings import Settings as OperatorSettings
from lorapool_runtime.settings import Settings as RuntimeSettings

PARTS: list[tuple[str, type[BaseSettings]]] = [
    ("gateway", GatewaySettings),
    ("operator", OperatorSettings),
    ("runtime", RuntimeSettings),
]
# Libraries read these, not the settings.
OF_LIBRARIES = {"HF_ENDPOINT", "HF_HOME", "HF_TOKEN"}


def _variables(settings: type[BaseSettings]) -> set[str]:
    prefix = settings.model_config["env_prefix"]
    return {str(field.validation_alias or f"{prefix}{name}".upper()) for name, field in settings.model_fields.items()}


def _listed(part: str) -> set[str]:
    (readme,) = (path for path in (ROOT / part).rglob("README.md"))
    _, _, table = readme.read_text("utf-8").partition("| environment |")
    return set(re.findall(r"`((?:LORAPOOL|POD|HF|CIVITAI|OTEL)_[A-Z_]+)`", table.partition("\n\n")[0]))


@pytest.mark.parametrize(("part", "settings"), PARTS, ids=[part for part, _ in PARTS])
def test_a_readme_lists_the_settings_of_its_process(part: str, settings: type[BaseSettings]) -> None:
    assert _listed(part) - OF_LIBRARIES == _variables(settings) - OF_LIBRARIES


@pytest.mark.parametrize("settings", [settings for _, settings in PARTS], ids=[part for part, _ in PARTS])
def test_each_setting_is_described(settings: type[BaseSettings]) -> None:
    assert [name for name, field in settings.model_fields.items() if not field.description] == []
