"""One API key as a Secret holds it: the bare key, or YAML that says what it allows too: pure."""

import hashlib
import re
from collections.abc import Iterable
from typing import Annotated, Any, Final

import yaml
from limits import RateLimitItem, parse_many
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from lorapool_api.wire.request import MAX_PRIORITY
from lorapool_common.validation import first_error
from lorapool_gateway.callers.caller import Caller, Scope

MAX_ENTRY_BYTES: Final = 64 << 10
_MOST_NAMES: Final = 1000
_MOST_RATES: Final = 4
# Each image of a window takes a few bytes of memory for as long as the window is.
_MOST_IMAGES: Final = 100_000
_SPACE: Final = re.compile(r"\s")

Names = Annotated[frozenset[Annotated[str, Field(min_length=1, max_length=320)]], Field(max_length=_MOST_NAMES)]


class EntryUnusable(Exception):
    """What a Secret holds is no key; the message says why, and nothing of what it holds."""


def _rates(text: Any) -> tuple[RateLimitItem, ...]:
    if not isinstance(text, str):
        raise ValueError("must be a text such as 60/minute")  # noqa: TRY004 -- pydantic reads ValueErrors
    try:
        rates = tuple(parse_many(text))
    except ValueError:
        raise ValueError("must be a text such as 60/minute, or 10/minute; 100/day") from None
    if len(rates) > _MOST_RATES or any(not 0 < rate.amount <= _MOST_IMAGES for rate in rates):
        raise ValueError(f"must have at most {_MOST_RATES} rates of 1 to {_MOST_IMAGES} images each")
    return rates


class KeyEntry(BaseModel):
    """An entry of the Secret. Unknown fields are refused: a slip must not widen what a key allows."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, arbitrary_types_allowed=True, hide_input_in_errors=True
    )

    key: str | None = Field(default=None, min_length=1, max_length=4096)
    sha256: str | None = Field(default=None, pattern="^[0-9a-fA-F]{64}$")
    namespaces: Names | None = Field(default=None, min_length=1)
    pools: Names | None = Field(default=None, min_length=1)
    adapters: Names | None = Field(default=None, min_length=1)
    rate: Annotated[tuple[RateLimitItem, ...], BeforeValidator(_rates)] = ()
    concurrent: int | None = Field(default=None, ge=1, le=100_000)
    max_priority: int = Field(default=0, ge=0, le=MAX_PRIORITY)
    max_deadline_seconds: float | None = Field(default=None, gt=0, le=86_400)

    @property
    def scope(self) -> Scope:
        return Scope(self.namespaces, self.pools, self.adapters)

    @model_validator(mode="after")
    def _one_key(self) -> "KeyEntry":
        if (self.key is None) == (self.sha256 is None):
            raise ValueError("needs one of key and sha256")
        return self


def read_entry(name: str, text: str) -> Caller | None:
    """Who asks with the key of this entry; None of one that is empty. Raises: EntryUnusable."""
    entry = parse_entry(text)
    return None if entry is None else _caller(name, entry)


def parse_entry(text: str) -> KeyEntry | None:
    """What an entry says; None of one that is empty.

    What has spaces or line breaks, or begins as JSON does, and is a mapping in YAML, is an entry with fields. Whatever
    else is there is the key itself.

    Raises:
        EntryUnusable
    """
    text = text.strip()
    if not text:
        return None
    fields = _mapping(text) if text.startswith("{") or _SPACE.search(text) else None
    try:
        return KeyEntry(key=text) if fields is None else KeyEntry.model_validate(fields)
    except ValidationError as error:
        place, first = first_error(error)
        if first["type"] == "extra_forbidden":  # its name may be the key
            known = ", ".join(field.alias or "" for field in KeyEntry.model_fields.values())
            raise EntryUnusable(f"it has a field that is none of {known}") from None
        raise EntryUnusable(f"{place}: {first['msg']}" if place else str(first["msg"])) from None


def _mapping(text: str) -> dict[Any, Any] | None:
    try:
        fields = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError):
        raise EntryUnusable("it is no YAML") from None
    return fields if isinstance(fields, dict) else None


def _caller(name: str, entry: KeyEntry) -> Caller:
    digest = bytes.fromhex(entry.sha256) if entry.sha256 else digest_of(entry.key or "")
    return Caller(
        name=name,
        id=digest,
        scope=entry.scope,
        rates=entry.rate,
        concurrent=entry.concurrent,
        max_priority=entry.max_priority,
        max_deadline_s=entry.max_deadline_seconds,
    )


def digest_of(key: str) -> bytes:
    """What is kept and compared of a key."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def without_twins(callers: Iterable[Caller]) -> tuple[tuple[Caller, ...], tuple[str, ...]]:
    """One caller for each key, the first by name; and the names of those that have another's key."""
    kept: dict[bytes, Caller] = {}
    twins = [caller.name for caller in callers if kept.setdefault(caller.id, caller) is not caller]
    return tuple(kept.values()), tuple(twins)
