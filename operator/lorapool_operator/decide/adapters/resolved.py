"""What a status says of the file behind a source."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from lorapool_api.kinds.adapter import Adapter, AdapterVersion, Resolved
from lorapool_api.kinds.serving import FoundDefaults
from lorapool_api.rules.defaults import first_said
from lorapool_api.rules.few_steps import recognised
from lorapool_api.wire.state import AdapterFileFacts
from lorapool_operator.seen.resolution import Resolution

_FIELDS: Final = tuple(Resolved.model_fields)
_NOTHING: Final = Resolution()
# Of a file that was looked at anew, none of these is what it was before only because it is not there any more.
_MAY_GO: Final = frozenset({"networks", "trigger_words", "defaults", "base_models", "thumbnail", "alone"})


def recognised_defaults(adapter: Adapter, resolution: Resolution) -> FoundDefaults | None:
    """What requests get that do not say, as the name of the file gives it away."""
    source = adapter.spec.source
    return recognised(source.hub.repo if source.hub else None, resolution.file or source.label)


def resolved(
    adapter: Adapter,
    resolution: Resolution | None,
    said: Sequence[AdapterFileFacts | None],
    version: AdapterVersion | None = None,
) -> Resolved | None:
    """What pods found in the file, else what the source says. Of an adapter that was never served: else what was known
    of this very generation before, because pods that are away do not make it untrue.

    Args:
        said: what pods found in their files.
        version: the one that this is about, of an adapter that was served; what it holds is in the resolution.
    """
    facts = _first(said)
    found = resolution or _NOTHING
    from_source = _known((name, getattr(found, name)) for name in _FIELDS)
    from_pods = _known(facts) if facts else {}
    was_looked_at = found.facts is not None or facts is not None
    before = {} if version else _before(adapter, was_looked_at=was_looked_at)
    known = before | from_source | from_pods
    if version is None and known.get("sha256") != before.get("sha256") and "merge_loss" not in from_pods:
        known["merge_loss"] = None  # it was that of another file
    if version and version.sha256:
        known["sha256"] = version.sha256  # it never becomes another file, whatever a pod has
    if not _known(known.items()):
        return None
    if resolution is not None:
        declared = from_pods.get("declared") or known.get("defaults")
        defaults = first_said(_defaults(declared), recognised_defaults(adapter, resolution))
        known["defaults"] = _known(defaults) or None
    return Resolved.model_validate(known)


def _first(said: Sequence[AdapterFileFacts | None]) -> AdapterFileFacts | None:
    """What the first pod says that has the file, with what any of them has measured of that one."""
    found = [facts for facts in said if facts is not None]
    if not found:
        return None
    first = found[0]
    losses = (facts.merge_loss for facts in found if facts.sha256 == first.sha256)
    loss = next((loss for loss in losses if loss is not None), None)
    return first if loss == first.merge_loss else first.model_copy(update={"merge_loss": loss})


def _before(adapter: Adapter, *, was_looked_at: bool) -> dict[str, Any]:
    same = adapter.status.observed_generation == adapter.metadata.generation
    before = adapter.status.resolved if same else None
    return {} if before is None else before.model_dump(exclude=set(_MAY_GO) if was_looked_at else None)


def _defaults(found: Any) -> FoundDefaults | None:
    return found if found is None or isinstance(found, FoundDefaults) else FoundDefaults.model_validate(found)


def _known(values: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    return {name: value for name, value in values if value is not None and value != ()}
