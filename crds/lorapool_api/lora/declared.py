"""What a file's metadata says of how it wants to be used: sampling, and the words that call it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pydantic import ConfigDict, ValidationError

from lorapool_api.kinds.conditions import Reason
from lorapool_api.kinds.serving import AdapterDefaults, FoundDefaults
from lorapool_api.lora.header import FactsError

DEFAULTS_KEY: Final = "lorapool.defaults"
"""JSON with the fields of `spec.defaults`. No other key of the known trainers says how a file is sampled."""
TRIGGER_KEY: Final = "modelspec.trigger_phrase"
"""Of Stability AI's model metadata standard; kohya's trainer and others write it."""
_MAX_CHARACTERS: Final = 8192
_MAX_WORDS: Final = 8
_MAX_WORD_CHARACTERS: Final = 120


class _Declared(AdapterDefaults):
    model_config = ConfigDict(extra="forbid")


@dataclass(frozen=True)
class DeclaredUse:
    """What a file says of its use; None and () where it says nothing."""

    defaults: FoundDefaults | None = None
    trigger_words: tuple[str, ...] = ()


NOTHING_DECLARED: Final = DeclaredUse()


def declared_use(metadata: Mapping[str, str]) -> DeclaredUse:
    """Raises: FactsError (`UnsupportedFormat`): what stands under `DEFAULTS_KEY` cannot be followed as it stands."""
    text = metadata.get(DEFAULTS_KEY)
    return DeclaredUse(None if text is None else _defaults(text), words_in(metadata.get(TRIGGER_KEY, "")))


def words_in(phrase: str) -> tuple[str, ...]:
    """What stands between the commas of a text that a stranger wrote: the first few that are of a decent length."""
    parts = (part.strip() for part in phrase[:_MAX_CHARACTERS].split(","))
    return tuple(part for part in parts if part.isprintable() and 0 < len(part) <= _MAX_WORD_CHARACTERS)[:_MAX_WORDS]


def _defaults(text: str) -> FoundDefaults:
    if len(text) > _MAX_CHARACTERS:
        raise _unusable(f"it has more than {_MAX_CHARACTERS} characters")
    try:
        found = _Declared.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(map(str, first["loc"]))[:80]
        raise _unusable(f"{place}: {first['msg']}" if place else first["msg"]) from error
    return FoundDefaults.model_validate(found.model_dump())


def _unusable(why: str) -> FactsError:
    return FactsError(Reason.UNSUPPORTED_FORMAT, f"the metadata {DEFAULTS_KEY} is not as spec.defaults is: {why[:300]}")
