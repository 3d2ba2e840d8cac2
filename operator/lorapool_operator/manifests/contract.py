"""What a podTemplate must leave as it is: what operator, gateway and kubelet find, ask and believe a pod by.

Everything else is the pool owner's. What a cluster forbids besides, its Pod Security Standards and policies say.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from lorapool_api import names
from lorapool_api.kinds.conditions import Reason
from lorapool_api.kinds.pool import Pool
from lorapool_operator.manifests.common import Manifest, selector
from lorapool_operator.manifests.deployment import (
    POOL_UID_ANNOTATION,
    TEMPLATE_PATH,
    Installation,
    built_template,
    pod_template,
)
from lorapool_operator.manifests.merge import MergeError, item_path
from lorapool_operator.seen.verdict import Verdict

_ENV: Final = (names.CONFIG_ENV, "POD_NAME", "POD_NAMESPACE", "POD_IP")
_PROBES: Final = ("startupProbe", "livenessProbe", "readinessProbe")
_HANDLERS: Final = ("httpGet", "exec", "tcpSocket", "grpc")

# (where, why): what is broken.
Breach = tuple[str, str]


def template_problem(pool: Pool) -> Verdict | None:
    """What is wrong with the pool's podTemplate, with its path; None: pods can be made of it."""
    anything = Installation(image="")
    try:
        merged = pod_template(pool, anything)
    except MergeError as error:
        return Verdict(Reason.INVALID_SPEC, str(error))
    built = built_template(pool, anything)
    breach = next((found for rule in _RULES for found in rule(pool, built, merged)), None)
    return None if breach is None else Verdict(Reason.INVALID_SPEC, f"{TEMPLATE_PATH}.{breach[0]}: {breach[1]}")


Rule = Callable[[Pool, Manifest, Manifest], Iterator[Breach]]


def _shape(_pool: Pool, _built: Manifest, merged: Manifest) -> Iterator[Breach]:
    """What the rules below rely on."""
    for path in ("metadata", "metadata.labels", "metadata.annotations", "spec"):
        if not isinstance(_at(merged, path), Mapping):
            yield path, "must stay a map"
            return
    for path in ("spec.containers", "spec.initContainers", "spec.volumes"):
        items = _at(merged, path)
        if items is not None and not (isinstance(items, list) and all(isinstance(i, Mapping) for i in items)):
            yield path, "must be a list of maps"


def _marks(pool: Pool, built: Manifest, merged: Manifest) -> Iterator[Breach]:
    """By these pods are found, and told apart from those of a pool of the same name before."""
    marks = {"labels": tuple(selector(pool)), "annotations": (POOL_UID_ANNOTATION,)}
    for kind, keys in marks.items():
        for key in keys:
            if merged["metadata"][kind].get(key) != built["metadata"][kind][key]:
                yield f"metadata.{kind}[{key}]", "is the operator's: the pool's pods are known by it"


def _network(_pool: Pool, _built: Manifest, merged: Manifest) -> Iterator[Breach]:
    if merged["spec"].get("hostNetwork"):
        why = "pods of one node would share their ports, and no NetworkPolicy would hold for them"
        yield "spec.hostNetwork", why


def _process(_pool: Pool, built: Manifest, merged: Manifest) -> Iterator[Breach]:
    """The container is there, and runs what its image runs."""
    runtime = _runtime(merged)
    if runtime is None:
        yield "spec.containers", f"the container {names.RUNTIME_CONTAINER} must stay"
        return
    if runtime.get("command"):
        yield _in_runtime("command"), "the container runs the command of its image"
    if runtime.get("args") != _runtime(built)["args"]:
        yield _in_runtime("args"), "are the operator's"


def _ports(_pool: Pool, built: Manifest, merged: Manifest) -> Iterator[Breach]:
    """Ports are asked for by number and by name; all containers of a pod share the numbers."""
    wanted = _runtime(built)["ports"]
    runtime_ports = _items(_runtime(merged), "ports")
    for port in wanted:
        if port not in runtime_ports:
            yield _in_runtime(f'ports[name="{port["name"]}"]'), f"must stay {port['containerPort']}/TCP"
    taken = {port["containerPort"] for port in wanted} | {port["name"] for port in wanted}
    for kind in ("containers", "initContainers"):
        for container in _items(merged["spec"], kind):
            for port in _items(container, "ports"):
                if port not in wanted and {port.get("containerPort"), port.get("name")} & taken:
                    path = item_path(f"spec.{kind}", "name", container.get("name"))
                    yield f"{path}.ports", f"{port.get('name') or port.get('containerPort')} is the runtime's own"


def _probes(_pool: Pool, built: Manifest, merged: Manifest) -> Iterator[Breach]:
    """How often and how long they are asked is free; what they ask is not."""
    for name in _PROBES:
        found, wanted = _runtime(merged).get(name), _runtime(built)[name]
        if not isinstance(found, Mapping) or any(found.get(h) != wanted.get(h) for h in _HANDLERS):
            yield (
                _in_runtime(name),
                f"must ask {wanted['httpGet']['path']}, as the operator has it",
            )


def _environment(_pool: Pool, built: Manifest, merged: Manifest) -> Iterator[Breach]:
    found, wanted = ({e.get("name"): e for e in _items(_runtime(t), "env")} for t in (merged, built))
    for name in _ENV:
        if found.get(name) != wanted.get(name):
            yield _in_runtime(f'env[name="{name}"]'), "is the operator's"


def _mounts(_pool: Pool, _built: Manifest, merged: Manifest) -> Iterator[Breach]:
    """The cache is somewhere."""
    if names.CACHE_DIR not in {mount.get("mountPath") for mount in _items(_runtime(merged), "volumeMounts")}:
        yield _in_runtime(f'volumeMounts[mountPath="{names.CACHE_DIR}"]'), "must stay: files are brought there"


# The first breach is told; each rule relies on those before it.
_RULES: Final[tuple[Rule, ...]] = (_shape, _marks, _network, _process, _ports, _probes, _environment, _mounts)


def _at(manifest: Any, path: str) -> Any:
    for key in path.split("."):
        manifest = manifest.get(key) if isinstance(manifest, Mapping) else None
    return manifest


def _items(parent: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    """What is no list of maps is left to the API server to refuse."""
    found = parent.get(key)
    return [item for item in found if isinstance(item, Mapping)] if isinstance(found, list) else []


def _runtime(template: Manifest) -> Any:
    containers = _items(template["spec"], "containers")
    return next((c for c in containers if c.get("name") == names.RUNTIME_CONTAINER), None)


def _in_runtime(field: str) -> str:
    return f"{item_path('spec.containers', 'name', names.RUNTIME_CONTAINER)}.{field}"
