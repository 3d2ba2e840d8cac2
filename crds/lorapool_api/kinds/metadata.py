"""The parts of Kubernetes' own metadata that lorapool reads."""

from datetime import datetime
from typing import Literal

from pydantic import ConfigDict, Field

from lorapool_api.names import PAUSED_ANNOTATION, full_name
from lorapool_api.schema import ApiModel, Rule, rules


class Metadata(ApiModel):
    """metav1.ObjectMeta, as far as decisions need it."""

    name: str
    namespace: str
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    finalizers: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        return full_name(self.namespace, self.name)

    @property
    def is_paused(self) -> bool:
        """Whether somebody has asked that nothing be done about the object."""
        return self.annotations.get(PAUSED_ANNOTATION, "false") != "false"

    @property
    def is_terminating(self) -> bool:
        return self.deletion_timestamp is not None


class Requirement(ApiModel):
    """One expression of a label selector."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Rule(
                "self.operator in ['In', 'NotIn'] ? has(self.values) && size(self.values) > 0 : !has(self.values)",
                "values go with In and NotIn, and only with them",
            )
        )
    )

    key: str = Field(description="Label.", min_length=1, max_length=316)
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"] = Field(description="How the label is compared.")
    values: tuple[str, ...] | None = Field(default=None, description="Values for In and NotIn.", max_length=64)


class LabelSelector(ApiModel):
    """metav1.LabelSelector: all of it must hold; an empty one picks everything."""

    match_labels: dict[str, str] | None = Field(default=None, description="Labels with exactly these values.")
    match_expressions: tuple[Requirement, ...] | None = Field(default=None, description="Expressions.", max_length=32)

    def matches(self, labels: dict[str, str]) -> bool:
        """Whether an object with these labels is picked."""
        exact = all(labels.get(k) == v for k, v in (self.match_labels or {}).items())
        return exact and all(_holds(e, labels) for e in self.match_expressions or ())


def _holds(expression: Requirement, labels: dict[str, str]) -> bool:
    match expression.operator:
        case "Exists":
            return expression.key in labels
        case "DoesNotExist":
            return expression.key not in labels
        case "In":
            return labels.get(expression.key) in (expression.values or ())
        case "NotIn":
            return labels.get(expression.key) not in (expression.values or ())


class PoolRef(ApiModel):
    """A `BaseModelPool`."""

    name: str = Field(description="Name of the BaseModelPool.", min_length=1, max_length=253)
    namespace: str | None = Field(
        default=None,
        description="Its namespace, when it is not the adapter's own.",
        min_length=1,
        max_length=63,
    )
