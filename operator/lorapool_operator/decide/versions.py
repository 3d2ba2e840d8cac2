"""Versions of an adapter: which file each one is, and which of them the object asks for."""

import hashlib
import json
from typing import Any, Final

from lorapool_api.kinds.adapter import Adapter, AdapterFormat, AdapterVersion, Resolved
from lorapool_api.kinds.conditions import AdapterCondition, Reason, Subject, find, traits
from lorapool_api.kinds.sources import AdapterSource
from lorapool_api.names import REFRESH_ANNOTATION, version_key
from lorapool_operator.seen.resolution import Resolution
from lorapool_operator.seen.verdict import Verdict

_DIGEST_CHARACTERS: Final = 12
# What a resolution says better: a branch moves, and a file that was not named was chosen.
_RESOLVED: Final = ("revision", "file")


def refresh_of(adapter: Adapter) -> str | None:
    """The value of the annotation that asks for a new look at the source."""
    return adapter.metadata.annotations.get(REFRESH_ANNOTATION)


def is_asked_for(version: AdapterVersion, adapter: Adapter) -> bool:
    """Whether the version answers the source, the pin and the annotation as they are written now."""
    is_pinned = adapter.spec.sha256 in (None, version.sha256)
    return is_pinned and version.source == adapter.spec.source and version.refresh == refresh_of(adapter)


def is_same_file(version: AdapterVersion, adapter: Adapter, found: Resolution) -> bool:
    """Whether what the adapter's source was found to be is the version's file, however it was written.

    Where the operator knows no sha256 of what was found, the source's own word for the content decides, and where it
    has none, a new look counts as another file until pods have read it.
    """
    if _place(version.source, version) != _place(adapter.spec.source, found):
        return False
    sha256 = adapter.spec.sha256 or found.sha256
    if sha256 is not None and version.sha256 is not None:
        return sha256 == version.sha256
    if found.revision is not None:
        return True
    if sha256 is not None:
        return False
    if found.tag is not None and version.tag is not None:
        return found.tag == version.tag
    return found.refresh == version.refresh


def is_unmoved(known: Resolution, found: Resolution) -> bool:
    """Whether a source that is followed still holds the file that is known of it.

    Where the source tells the sha256, another commit with the same file is no other version, and whoever edits a README
    rolls nothing out. Files in PEFT's layout are read with the configuration beside them: they roll with every commit,
    and others when something comes to lie beside them.
    """
    if found.file != known.file:
        return False
    if found.sha256 is None or known.sha256 is None:
        return (found.revision, found.tag) == (known.revision, known.tag)
    may_differ = AdapterFormat.PEFT in (found.format, known.format) or (known.alone and not found.alone)
    return found.sha256 == known.sha256 and (found.revision == known.revision or not may_differ)


def version_of(adapter: Adapter, found: Resolution, key: str | None = None) -> AdapterVersion:
    """The version that the source turned out to be. Its key follows from its content, whoever looks and how often."""
    sha256 = adapter.spec.sha256 or found.sha256
    known = {name: getattr(found, name) for name in Resolved.model_fields}
    return AdapterVersion(
        **known | {"sha256": sha256},
        key=_key_by_content(adapter, found, sha256) if key is None else key,
        source=adapter.spec.source,
        generation=adapter.metadata.generation,
        refresh=found.refresh,
        tag=found.tag,
    )


def _key_by_content(adapter: Adapter, found: Resolution, sha256: str | None) -> str:
    content = sha256 or found.revision or found.tag or found.refresh
    text = json.dumps([_place(adapter.spec.source, found), content], sort_keys=True)
    return version_key(adapter.key, hashlib.sha256(text.encode()).hexdigest()[:_DIGEST_CHARACTERS])


def resolution_of(version: AdapterVersion, last_misfit: Verdict | None = None) -> Resolution:
    """What was found when the version was resolved; the facts of its header are not kept in a status."""
    known = {name: getattr(version, name) for name in Resolved.model_fields}
    return Resolution(**known, tag=version.tag, refresh=version.refresh, last_misfit=last_misfit)


def last_misfit(adapter: Adapter) -> Verdict | None:
    """What the status says against the fit of the served version. Of a path only the pods can say it.

    A condition before it that is not true has left its own reason there, Suspended for example: that is no misfit.
    """
    fit = find(adapter.status.conditions, AdapterCondition.COMPATIBLE)
    if fit is None or fit.is_true or adapter.spec.source.value.is_seen_by_pods_only:
        return None
    is_about_fit = fit.reason == Reason.WAITING_FOR_PODS or traits(fit.reason).subject is Subject.FIT
    return Verdict(fit.reason, fit.message) if is_about_fit else None


def as_version(adapter: Adapter, version: AdapterVersion) -> Adapter:
    """The adapter as if its spec asked for that version."""
    if adapter.spec.sha256 == version.sha256 and adapter.spec.source == version.source:
        return adapter
    spec = adapter.spec.model_copy(update={"source": version.source, "sha256": version.sha256})
    return adapter.model_copy(update={"spec": spec})


def _place(source: AdapterSource, found: Resolution | AdapterVersion) -> Any:
    """Where the file lies. Who may read it is no part of that: another token brings the same file."""
    written = source.manifest()
    names = _RESOLVED if found.revision is not None else ()
    rest = {
        kind: {name: value for name, value in place.items() if name not in names and not name.endswith("SecretRef")}
        if isinstance(place, dict)
        else place
        for kind, place in written.items()
    }
    return [rest, found.revision, found.file if found.revision is not None else None]
