"""Facts of an adapter file, or why there are none, as JSON: between who reads a header and who asked for it."""

import json
from collections.abc import Callable
from typing import Any

from lorapool_api.kinds.adapter import AdapterFormat
from lorapool_api.kinds.conditions import Reason
from lorapool_api.lora.facts import AdapterFacts, Target, shared_target
from lorapool_api.lora.families import Family
from lorapool_api.lora.header import FactsError
from lorapool_api.lora.networks import Network


def answered(find: Callable[[], AdapterFacts]) -> bytes:
    """What `find` finds, or the reason of its FactsError."""
    try:
        facts = find()
    except FactsError as error:
        return json.dumps({"refused": [error.reason, error.message]}).encode()
    return json.dumps({"facts": _plain(facts)}).encode()


def facts_in(answer: bytes) -> AdapterFacts:
    """The facts in an answer, their targets shared with those of other files.

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
        "targets": [
            (t.component, t.module, t.network, t.rank, t.in_features, t.out_features, t.kernel, t.columns)
            for t in facts.targets
        ],
        "size_bytes": facts.size_bytes,
        "dtypes": sorted(facts.dtypes),
        "alphas": sorted(facts.alphas),
        "made_for": facts.made_for,
    }


def _facts(plain: dict[str, Any]) -> AdapterFacts:
    return AdapterFacts(
        AdapterFormat(plain["format"]),
        tuple(map(_target, plain["targets"])),
        plain["size_bytes"],
        frozenset(plain["dtypes"]),
        frozenset(plain["alphas"]),
        None if plain["made_for"] is None else Family(plain["made_for"]),
    )


def _target(plain: list[Any]) -> Target:
    component, module, network, rank, in_features, out_features, kernel, columns = plain
    where = None if kernel is None else (kernel[0], kernel[1])
    return shared_target(Target(component, module, Network(network), rank, in_features, out_features, where, columns))
