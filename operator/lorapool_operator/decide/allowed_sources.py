"""Which sources an installation and a pool let adapters name."""

from collections.abc import Collection
from typing import Final, assert_never

from lorapool_api.fetch.hosts import is_allowed, may_carry_credentials
from lorapool_api.fetch.oci.reference import OciReference
from lorapool_api.fetch.policy import SourceRefused
from lorapool_api.kinds.artifacts import CivitaiSource, OciSource
from lorapool_api.kinds.conditions import Reason
from lorapool_api.kinds.pool import PoolSpec
from lorapool_api.kinds.sources import AdapterSource, HubSource, PathSource, UnknownSource, UrlSource
from lorapool_api.kinds.stacks import StackSource
from lorapool_api.kinds.stores.objects import AnyStoredObject, AzureSource, GcsSource, S3Source
from lorapool_operator.decide.memo import Memo
from lorapool_operator.manifests.path_roots import path_roots
from lorapool_operator.seen.verdict import Verdict

# Of thousands of adapters one after the other the pool is the same.
_path_roots: Final = Memo(path_roots)


def forbidden(source: AdapterSource, pool: PoolSpec, url_hosts: Collection[str]) -> Verdict | None:
    """Why the source may not be asked; None: it may.

    Args:
        url_hosts: those of `lorapool_api.fetch.hosts`.
    """
    match source.value:
        case HubSource() | CivitaiSource() | StackSource():
            return None
        case OciSource():
            return _registry_is_allowed(source.value, url_hosts)
        case UrlSource(url):
            return None if is_allowed(url, url_hosts) else _other_host(source.label, url_hosts)
        case PathSource(path):
            paths = _path_roots(pool)
            return None if paths.allow(path) else _below_no_volume(path, paths.roots)
        case S3Source() | GcsSource() | AzureSource() as wanted:
            return _refused_object(wanted, pool, url_hosts)
        case UnknownSource():
            return Verdict(
                Reason.INVALID_SPEC,
                "spec.source is none that this version of the operator knows; upgrade it, or use another source",
            )
        case other:
            assert_never(other)


def _registry_is_allowed(source: OciSource, allowed: Collection[str]) -> Verdict | None:
    try:
        reference = OciReference.parse(source.ref)
    except SourceRefused as error:
        return Verdict(error.reason, error.message)
    if is_allowed(reference.url(allowed), allowed):
        return None
    shown = source.ref if reference.server == reference.registry else f"{source.ref}, which is at {reference.server}"
    return _other_host(shown, allowed)


def _other_host(label: str, allowed: Collection[str]) -> Verdict:
    hosts = ", ".join(allowed) or "none"
    message = f"{label}: this installation takes files from these hosts only: {hosts} (setting urlHosts)"
    return Verdict(Reason.SOURCE_FORBIDDEN, message)


def _refused_object(wanted: AnyStoredObject, pool: PoolSpec, url_hosts: Collection[str]) -> Verdict | None:
    if wanted.endpoint is not None and not is_allowed(wanted.endpoint, url_hosts):
        return _other_host(wanted.label, url_hosts)
    if wanted.endpoint and not wanted.anonymous and not may_carry_credentials(wanted.endpoint, url_hosts):
        text = f"{wanted.label}: credentials go there by https only, or to a host allowed as http://HOST:PORT"
        return Verdict(Reason.SOURCE_FORBIDDEN, f"{text} (setting urlHosts)")
    prefixes = pool.adapters.identity_prefixes
    if not wanted.uses_pod_identity or any(wanted.is_below(prefix) for prefix in prefixes):
        return None
    return Verdict(
        Reason.SOURCE_FORBIDDEN,
        f"{wanted.label}: the pool lets adapters read with the identity of its pods below "
        f"{', '.join(prefixes) or 'no prefix'} (spec.adapters.identityPrefixes); for a public object set "
        "anonymous: true, for keys of your own credentialsSecretRef",
    )


def _below_no_volume(path: str, roots: Collection[str]) -> Verdict:
    listed = ", ".join(roots) or "none"
    return Verdict(
        Reason.SOURCE_FORBIDDEN,
        f"{path} lies below no volume of the podTemplate that the pool names in spec.adapters.pathVolumes "
        f"(they are mounted at: {listed})",
    )
