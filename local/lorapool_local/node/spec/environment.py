"""The environment and the arguments of a container: pure functions of the pod and of what it refers to."""

import base64
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lorapool_api.kinds.quantities import parse_quantity
from lorapool_local.node.spec.container import Container, EnvFrom, EnvVar
from lorapool_local.node.spec.pod import Pod

# An object by (kind, name); None where there is none.
Lookup = Callable[[str, str], Mapping[str, Any] | None]

_REFERENCE = re.compile(r"\$(\$|\(([A-Za-z_.-][A-Za-z0-9_.-]*)\))")
_SUBSCRIPT = re.compile(r"metadata\.(labels|annotations)\['(.+)'\]")


class ConfigError(Exception):
    """The container cannot be started as it is configured; it may be when what it refers to is there."""


@dataclass(frozen=True)
class Placement:
    """What a pod learns about where it runs."""

    pod_ip: str
    host_ip: str
    node_name: str
    allocatable: Mapping[str, str]


def environment(
    container: Container, pod: Pod, placement: Placement, lookup: Lookup, base: Mapping[str, str]
) -> dict[str, str]:
    """`base`, then `envFrom`, then `env`, later ones over earlier ones; `$(NAME)` refers to what came before.

    Raises `ConfigError` where something is referred to that is not there and not optional.
    """
    result = dict(base)
    for source in container.env_from:
        result.update(_from_source(source, lookup))
    for variable in container.env:
        value = _value(variable, container, pod, placement, lookup, result)
        if value is not None:
            result[variable.name] = value
    return result


def expand(text: str, variables: Mapping[str, str]) -> str:
    """`$(NAME)` is the variable, or itself where there is none; `$$` is `$`."""

    def replace(match: re.Match[str]) -> str:
        name = match.group(2)
        if name is None:
            return "$"
        return variables.get(name, match.group(0))

    return _REFERENCE.sub(replace, text)


def command_line(container: Container, image_command: Sequence[str], variables: Mapping[str, str]) -> list[str]:
    """The image's command is replaced by the container's; the container's arguments follow either."""
    command = [expand(word, variables) for word in container.command] or list(image_command)
    return command + [expand(word, variables) for word in container.args]


def field_value(path: str, pod: Pod, placement: Placement) -> str:
    """The value of a `fieldRef`. Raises `ConfigError` for one that is not offered."""
    metadata, spec = pod.metadata, pod.spec
    if subscript := _SUBSCRIPT.fullmatch(path):
        values = metadata.labels if subscript.group(1) == "labels" else metadata.annotations
        return values.get(subscript.group(2), "")
    fields = {
        "metadata.name": metadata.name,
        "metadata.namespace": metadata.namespace,
        "metadata.uid": metadata.uid,
        "metadata.labels": _lines(metadata.labels),
        "metadata.annotations": _lines(metadata.annotations),
        "spec.nodeName": placement.node_name,
        "spec.serviceAccountName": spec.service_account_name,
        "status.podIP": placement.pod_ip,
        "status.podIPs": placement.pod_ip,
        "status.hostIP": placement.host_ip,
        "status.hostIPs": placement.host_ip,
    }
    if path not in fields:
        raise ConfigError(f"unsupported fieldPath: {path}")
    return fields[path]


def resource_value(reference: Mapping[str, Any], container: Container, placement: Placement) -> str:
    """The value of a `resourceFieldRef`, rounded up; a limit that is not set is what the node has."""
    kind, _, resource = reference["resource"].partition(".")
    resources = container.resources
    values = resources.limits if kind == "limits" else resources.requests
    text = values.get(resource) or (placement.allocatable.get(resource) if kind == "limits" else None) or "0"
    divisor = parse_quantity(str(reference.get("divisor") or "1"))
    return str(math.ceil(parse_quantity(str(text)) / (divisor or 1)))


def _value(
    variable: EnvVar,
    container: Container,
    pod: Pod,
    placement: Placement,
    lookup: Lookup,
    before: Mapping[str, str],
) -> str | None:
    source = variable.value_from
    if not source:
        return expand(variable.value, before)
    if reference := source.get("fieldRef"):
        return field_value(reference["fieldPath"], pod, placement)
    if reference := source.get("resourceFieldRef"):
        return resource_value(reference, container, placement)
    if reference := source.get("secretKeyRef"):
        return _key("Secret", reference, lookup)
    if reference := source.get("configMapKeyRef"):
        return _key("ConfigMap", reference, lookup)
    raise ConfigError(f"environment variable {variable.name}: unknown source {', '.join(source)}")


def _key(kind: str, reference: Mapping[str, Any], lookup: Lookup) -> str | None:
    name, key, optional = reference.get("name", ""), reference["key"], reference.get("optional", False)
    found = lookup(kind, name)
    values = text_values(kind, found) if found is not None else {}
    if key not in values and not optional:
        problem = f'{kind.lower()} "{name}" not found' if found is None else f"couldn't find key {key} in {kind} {name}"
        raise ConfigError(problem)
    return values.get(key)


def _from_source(source: EnvFrom, lookup: Lookup) -> dict[str, str]:
    kind = "Secret" if source.secret_ref is not None else "ConfigMap"
    reference = source.secret_ref or source.config_map_ref or {}
    name = reference.get("name", "")
    found = lookup(kind, name)
    if found is None:
        if reference.get("optional", False):
            return {}
        raise ConfigError(f'{kind.lower()} "{name}" not found')
    return {source.prefix + key: value for key, value in text_values(kind, found).items()}


def text_values(kind: str, found: Mapping[str, Any]) -> dict[str, str]:
    """The entries of a Secret or ConfigMap as text."""
    data = found.get("data") or {}
    if kind == "ConfigMap":
        return dict(data)
    return {key: base64.b64decode(value).decode(errors="replace") for key, value in data.items()}


def references(container: Container) -> set[tuple[str, str]]:
    """(kind, name) of every Secret and ConfigMap that the environment is made of."""
    found: set[tuple[str, str]] = set()
    for source in container.env_from:
        if source.secret_ref is not None:
            found.add(("Secret", source.secret_ref.get("name", "")))
        if source.config_map_ref is not None:
            found.add(("ConfigMap", source.config_map_ref.get("name", "")))
    for variable in container.env:
        for key, kind in (("secretKeyRef", "Secret"), ("configMapKeyRef", "ConfigMap")):
            if reference := (variable.value_from or {}).get(key):
                found.add((kind, reference.get("name", "")))
    return found


def _lines(values: Mapping[str, str]) -> str:
    return "\n".join(f'{key}="{_escaped(value)}"' for key, value in sorted(values.items()))


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
