"""The base of every model of the API, and the marks that the CRD generator reads from it."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


@dataclass(frozen=True)
class Rule:
    """A CEL validation rule (`x-kubernetes-validations`) of the object or field that it is attached to."""

    rule: str
    message: str


class ApiModel(BaseModel):
    """A frozen part of a manifest: camelCase outside, snake_case inside.

    What the schema does not know is ignored here: the API server refuses it at the door, and an object that a
    newer version stored must stay readable.
    """

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True, extra="ignore")

    def manifest(self) -> dict[str, Any]:
        """The model as it stands in a manifest: camelCase, JSON types, without what has no value."""
        dumped: dict[str, Any] = self.model_dump(mode="json", by_alias=True, exclude_none=True)
        return dumped


# Have no parts that are models.
_PLAIN: Final = frozenset((str, int, float, bool, type(None), datetime))


class SharedFields:
    """Lets models share what pydantic keeps with each of them: the set of the fields that were given.

    It is never changed (a copy that is to differ copies it first), and nearly half of the memory of an object that is
    kept as it was read.
    """

    def __init__(self) -> None:
        self._sets: dict[frozenset[str], set[str]] = {}
        self._is_model: dict[type, bool] = {}

    def share(self, value: Any) -> None:
        """With all models that were shared before; those within it too."""
        is_model = self._is_model.get(type(value))
        if is_model is None:
            # Asked once for each class: that of a model asks all of its bases, for each of dozens of strings.
            is_model = self._is_model[type(value)] = isinstance(value, BaseModel)
        if is_model:
            given = self._sets.setdefault(frozenset(value.model_fields_set), value.model_fields_set)
            object.__setattr__(value, "__pydantic_fields_set__", given)
            self._share_parts(value.__dict__.values())
        elif type(value) is tuple:
            self._share_parts(value)

    def _share_parts(self, parts: Iterable[Any]) -> None:
        for part in parts:
            # Most are strings and numbers, of which there are dozens in each object.
            if type(part) not in _PLAIN:
                self.share(part)


def rules(*items: Rule) -> dict[str, Any]:
    """`json_schema_extra` that attaches CEL rules to a model or a field."""
    return {"x-kubernetes-validations": [{"rule": r.rule, "message": r.message} for r in items]}


def exactly_one_of(*fields: str) -> Rule:
    """The rule of a union: one of these fields, and only one."""
    present = ", ".join(f"has(self.{f})" for f in fields)
    return Rule(f"[{present}].exists_one(x, x)", f"exactly one of {' or '.join(fields)} must be set")
