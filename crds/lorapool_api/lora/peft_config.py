"""PEFT's configuration of an adapter, as far as it decides what the weights mean.

PEFT writes no alpha into the weights: it stands in `adapter_config.json` beside them, or, where diffusers saved the
file, in the safetensors metadata with the component's name before each key.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, TypeGuard

from lorapool_api.kinds.conditions import Reason
from lorapool_api.lora.header import FactsError

DIFFUSERS_KEY: Final = "lora_adapter_metadata"
"""Where diffusers' `save_lora_weights` keeps PEFT's configuration, each name after its component's."""
# Kinds of adapters, and what each calls its alpha; None: it has none, and low-rank weights beside it mean nothing.
_ALPHA: Final = {
    "LORA": "lora_alpha",
    "LOHA": "alpha",
    "LOKR": "alpha",
    "IA3": None,
    "OFT": None,
    "BOFT": None,
    "VERA": None,
}
# Ways to start a training that change the base, so that the weights alone mean something else.
_MOVE_THE_BASE: Final = ("olora", "loftq", "corda", "lora_ga")
# Options of PEFT's LoRA with which its weights mean something else than a low-rank sum, by the name of the method.
_OTHER_MEANINGS: Final = {
    "alora_invocation_tokens": "Activated LoRA",
    "arrow_config": "Arrow",
    "kasa_config": "KaSA",
    "layer_replication": "a base with repeated layers",
    "monteclora_config": "Monteclora",
    "use_bdlora": "BD-LoRA",
    "use_qalora": "QALoRA",
}
# What PEFT takes for an alpha and an r that nobody names (LoraConfig, LoHaConfig and LoKrConfig alike).
_DEFAULT: Final = 8
# Neumann's series of an OFT is another one since this version of PEFT.
_SAME_SERIES: Final = (0, 18)
_VERSION: Final = re.compile(r"^(\d{1,4})\.(\d{1,4})(?:\D|$)")
_MAX_TERMS: Final = 20
# Letters for themselves, a dot for any one character, or for a dot with a backslash before it. Any other expression of
# PEFT's is refused, and not run: one like (a+)+$ takes for ever.
_PLAIN: Final = re.compile(r"^\^?(?:[A-Za-z0-9_.]|\\\.)+\$?$")
_MAX_PATTERNS: Final = 5_000
_MAX_PATTERN_CHARS: Final = 512


@dataclass(frozen=True)
class PeftConfig:
    """Alpha and r of the modules of one component; the patterns name the exceptions.

    Attributes:
        oft_terms: by how many terms of Neumann's series an OFT approximates Cayley's transform; 0: it is exact; None:
            the configuration is of no OFT.
        oft_most: what bounds the length of a block's Q, times the square root of the number of blocks (`coft`).
    """

    alpha: float
    alpha_pattern: Mapping[str, float] = field(default_factory=dict)
    rank: float = _DEFAULT
    rank_pattern: Mapping[str, float] = field(default_factory=dict)
    rank_stabilized: bool = False
    oft_terms: int | None = None
    oft_most: float | None = None

    def scale(self, names: Sequence[str], rank: int | None) -> float:
        """What multiplies dW of a module: alpha / r, or alpha / sqrt(r) where ranks are stabilized.

        Args:
            names: the module's dotted names, as different versions of the libraries call it.
            rank: r of its weights; None where they have none (a LoKr of two full factors): the configuration's.
        """
        alpha = _of(names, self.alpha_pattern, self.alpha)
        r = rank or _of(names, self.rank_pattern, self.rank)
        if not r:
            return 1.0
        return alpha / (math.sqrt(r) if self.rank_stabilized else r)


def _of(names: Sequence[str], pattern: Mapping[str, float], otherwise: float) -> float:
    return next((value for n in names for p, value in pattern.items() if _matches(p, n)), otherwise)


def from_file(content: bytes) -> PeftConfig:
    """The configuration in an `adapter_config.json`. Raises: FactsError (`UnsupportedFormat`)."""
    return _config(_json(content))


def from_metadata(metadata: Mapping[str, str]) -> dict[str, PeftConfig]:
    """The configuration of each component in the metadata of a file that diffusers saved; empty: it holds none.

    Raises:
        FactsError: `UnsupportedFormat`.
    """
    if DIFFUSERS_KEY not in metadata:
        return {}
    by_component: dict[str, dict[str, Any]] = {}
    for key, value in _json(metadata[DIFFUSERS_KEY].encode()).items():
        component, _, name = key.partition(".")
        by_component.setdefault(component, {})[name] = value
    return {component: _config(values) for component, values in by_component.items()}


def _config(values: Mapping[str, Any]) -> PeftConfig:
    kind = values.get("peft_type", "LORA")
    if not isinstance(kind, str) or kind not in _ALPHA:
        raise _unsupported(f"its type is {str(kind)[:40]!r}, not one of {', '.join(_ALPHA)}")
    name = _ALPHA[kind]
    alpha, rank = values.get(name, _DEFAULT) if name else 0, values.get("r", _DEFAULT)
    if not _is_number(alpha) or not _is_number(rank):
        raise _unsupported(f"{name or 'alpha'} or r is not a number")
    if (start := values.get("init_lora_weights")) in _MOVE_THE_BASE or str(start).startswith("pissa"):
        raise _unsupported(f"{str(start)[:40]!r} starts from a base whose weights it moved; convert it to a plain LoRA")
    if methods := [method for option, method in _OTHER_MEANINGS.items() if values.get(option)]:
        raise _unsupported(f"{methods[0]} is not read")
    return PeftConfig(
        alpha,
        _pattern(values, "alpha_pattern"),
        rank,
        _pattern(values, "rank_pattern"),
        rank_stabilized=bool(values.get("use_rslora")),
        oft_terms=_oft_terms(values) if kind == "OFT" else None,
        oft_most=_oft_most(values) if kind == "OFT" and values.get("coft") else None,
    )


def _oft_terms(values: Mapping[str, Any]) -> int:
    if "oft_block_size" not in values:
        raise _unsupported("an OFT of PEFT before 0.14")
    match values.get("use_cayley_neumann"):
        case False:
            return 0
        case True:
            version = _VERSION.match(str(values.get("peft_version", ""))[:80])
            if version is None or (int(version[1]), int(version[2])) < _SAME_SERIES:
                raise _unsupported("an OFT by Neumann's series of PEFT before 0.18, which was another")
        case _:
            raise _unsupported("use_cayley_neumann is not true or false")
    terms = values.get("num_cayley_neumann_terms")
    if not isinstance(terms, int) or isinstance(terms, bool) or not 1 <= terms <= _MAX_TERMS:
        raise _unsupported(f"num_cayley_neumann_terms is no number from 1 to {_MAX_TERMS}")
    return terms


def _oft_most(values: Mapping[str, Any]) -> float:
    most = values.get("eps")
    if not _is_number(most) or most <= 0:
        raise _unsupported("coft without a number above 0 for its eps")
    return float(most)


def _pattern(values: Mapping[str, Any], name: str) -> Mapping[str, float]:
    pattern = values.get(name) or {}
    if not isinstance(pattern, dict) or not all(_is_number(a) for a in pattern.values()):
        raise _unsupported(f"{name} must map modules to numbers")
    if len(pattern) > _MAX_PATTERNS:
        raise _unsupported(f"{name} has more than {_MAX_PATTERNS} entries")
    if odd := [p for p in pattern if len(p) > _MAX_PATTERN_CHARS or not _PLAIN.match(p)]:
        raise _unsupported(f"{name} holds the expression {odd[0][:80]!a}; only names of modules are read")
    return pattern


def _is_number(value: object) -> TypeGuard[int | float]:
    """JSON as Python reads it has NaN, infinity and integers beyond any float; and a bool is an int."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _matches(pattern: str, name: str) -> bool:
    """PEFT's rule for a name: the expression is all of it, or its end after a dot; with `^` before it all of it."""
    return _expression(pattern).match(name) is not None


@lru_cache(maxsize=_MAX_PATTERNS)
def _expression(pattern: str) -> re.Pattern[str]:
    # As in peft.utils.other.get_pattern_key; of one length, as _PLAIN has no repetition: a match takes no time.
    return re.compile(rf"(.*\.)?({pattern})$")


def _json(content: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise _unsupported("it is not JSON") from error
    if not isinstance(parsed, dict):
        raise _unsupported("it is not a JSON object")
    return parsed


def _unsupported(what: str) -> FactsError:
    return FactsError(Reason.UNSUPPORTED_FORMAT, f"the adapter's PEFT configuration cannot be used: {what}")
