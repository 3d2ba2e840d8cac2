"""Facts of an adapter file, or why there are none, as JSON: between who reads a header and who asked for it."""

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from lorapool_api.kinds.adapter import AdapterFormat
from lorapool_api.kinds.conditions import Reason
from lorapool_api.kinds.serving import FoundDefaults
from lorapool_api.lora.declared import DeclaredUse
from lorapool_api.lora.facts import AdapterFacts
from lorapool_api.lora.families import Family
from lorapool_api.lora.header import FactsError
from lorapool_api.lora.modules import FileModule, PartInfo, file_layout, file_module
from lorapool_api.lora.peft_config import PeftConfig


def answered(find: Callable[[], AdapterFacts]) -> bytes:
    """What `find` finds, or the reason of its FactsError."""
    try:
        facts = find()
    except FactsError as error:
        return json.dumps({"refused": [error.reason, error.message]}).encode()
    return json.dumps({"facts": _plain(facts)}).encode()


def facts_in(answer: bytes) -> AdapterFacts:
    """The facts in an answer, their modules shared with those of other files.

    Raises:
        FactsError: the one that was answered.
    """
    parsed: dict[str, Any] = json.loads(answer)
    if "refused" in parsed:
        reason, message = parsed["refused"]
        raise FactsError(Reason(reason), message)
    return _facts(parsed["facts"])


def _plain(facts: AdapterFacts) -> dict[str, Any]:
    return {
        "format": facts.format,
        "modules": [(m.component, m.module, m.parts) for m in facts.modules],
        "size_bytes": facts.size_bytes,
        "begins": facts.layout.begins.tolist(),
        "peft_configs": {component: asdict(config) for component, config in facts.peft_configs.items()},
        "made_for": facts.made_for,
        "defaults": None if (said := facts.declared.defaults) is None else said.model_dump(mode="json"),
        "trigger_words": facts.declared.trigger_words,
    }


def _facts(plain: dict[str, Any]) -> AdapterFacts:
    return AdapterFacts(
        AdapterFormat(plain["format"]),
        file_layout(tuple(_module(*module) for module in plain["modules"]), plain["begins"]),
        plain["size_bytes"],
        {component: PeftConfig(**config) for component, config in plain["peft_configs"].items()},
        None if plain["made_for"] is None else Family(plain["made_for"]),
        DeclaredUse(
            None if plain["defaults"] is None else FoundDefaults.model_validate(plain["defaults"]),
            tuple(plain["trigger_words"]),
        ),
    )


def _module(component: str, module: str, parts: list[Any]) -> FileModule:
    return file_module(component, module, tuple(PartInfo(name, dtype, tuple(shape)) for name, dtype, shape in parts))
