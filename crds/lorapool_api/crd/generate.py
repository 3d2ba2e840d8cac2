"""The CustomResourceDefinitions, generated from the models: they are the one source."""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import BaseModel

from lorapool_api import names
from lorapool_api.crd.structural import structural_schema
from lorapool_api.kinds.adapter import AdapterSpec, AdapterStatus
from lorapool_api.kinds.pool import PoolSpec, PoolStatus
from lorapool_api.schema import Rule, rules

Manifest = dict[str, Any]

# Both copies are written together: one to read and to `kubectl apply`, one inside the chart.
FOLDERS: Final = ("crds", "charts/lorapool/files/crds")
_HEADER: Final = "# Generated from the models in crds/lorapool_api by `make crds`. Edit those.\n"


class _Plain(yaml.SafeDumper):
    """YAML without anchors: people read it."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def pool_crd() -> Manifest:
    """The CustomResourceDefinition of `BaseModelPool`."""
    too_long = Rule(
        f"size(self.metadata.name) <= {names.MAX_POOL_NAME}",
        f"metadata.name has at most {names.MAX_POOL_NAME} characters: the pool's Service is named after it",
    )
    schema = _kind_schema(
        "One diffusion base model, kept warm in a set of pods, and the LoRA adapters that are served on it.",
        PoolSpec,
        PoolStatus,
        too_long,
    )
    subresources = {
        "status": {},
        "scale": {
            "specReplicasPath": ".spec.replicas",
            "statusReplicasPath": ".status.replicas",
            "labelSelectorPath": ".status.selector",
        },
    }
    columns = [
        _column("Ready", _condition("Ready")),
        _column("Replicas", ".status.desiredReplicas", "integer"),
        _column("Warm", ".status.readyReplicas", "integer"),
        _column("Adapters", ".status.adapters.ready", "integer"),
        _column("Failed", ".status.adapters.failed", "integer"),
        _column("Engine", ".spec.runtime.engine", priority=1),
        _column("Reason", _condition("Ready", "reason"), priority=1),
        _column("Message", _condition("Ready", "message"), priority=1),
        _column("Age", ".metadata.creationTimestamp", "date"),
    ]
    return _crd(names.POOL_KIND, names.POOL_PLURAL, ["bmp"], schema, subresources, columns)


def adapter_crd() -> Manifest:
    """The CustomResourceDefinition of `LoraAdapter`."""
    schema = _kind_schema("One LoRA adapter, served from the pods of a BaseModelPool.", AdapterSpec, AdapterStatus)
    columns = [
        _column("Pool", ".status.poolName"),
        _column("Ready", _condition("Ready")),
        _column("Status", ".status.summary"),
        _column("Pods", ".status.pods.ready", "integer"),
        _column("Format", ".status.resolved.format"),
        _column("Rank", ".status.resolved.rank", "integer"),
        _column("Revision", ".status.resolved.revision", priority=1),
        _column("Message", _condition("Ready", "message"), priority=1),
        _column("Age", ".metadata.creationTimestamp", "date"),
    ]
    return _crd(names.ADAPTER_KIND, names.ADAPTER_PLURAL, ["lora"], schema, {"status": {}}, columns)


def _kind_schema(description: str, spec: type[BaseModel], status: type[BaseModel], *root_rules: Rule) -> Manifest:
    schema: Manifest = {
        "type": "object",
        "description": description,
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": structural_schema(spec),
            # One owner: the operator alone writes it, whole. Who has each of its fields was nearly half of an object of
            # thousands, and a quarter of what a write cost the API server.
            "status": structural_schema(status) | {"x-kubernetes-map-type": "atomic"},
        },
    }
    return schema | (rules(*root_rules) if root_rules else {})


def _crd(
    kind: str, plural: str, short: list[str], schema: Manifest, subresources: Mapping[str, Any], columns: list[Manifest]
) -> Manifest:
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{names.GROUP}"},
        "spec": {
            "group": names.GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": plural,
                "singular": kind.lower(),
                "shortNames": short,
                "categories": ["lorapool"],
            },
            "versions": [
                {
                    "name": names.VERSION,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": schema},
                    "subresources": dict(subresources),
                    "additionalPrinterColumns": columns,
                }
            ],
        },
    }


def _column(name: str, path: str, type_: str = "string", priority: int = 0) -> Manifest:
    column: Manifest = {"name": name, "type": type_, "jsonPath": path}
    return column | ({"priority": priority} if priority else {})


def _condition(type_: str, field: str = "status") -> str:
    return f'.status.conditions[?(@.type=="{type_}")].{field}'


def rendered() -> dict[str, str]:
    """File name -> YAML of each definition."""
    return {
        f"{crd['metadata']['name'].partition('.')[0]}.yaml": _HEADER
        + yaml.dump(crd, Dumper=_Plain, sort_keys=False, width=120)
        for crd in (pool_crd(), adapter_crd())
    }


def main() -> None:
    """Write the definitions, or with `--check` fail where a file is stale."""
    parser = argparse.ArgumentParser(description="Write the CRDs from the models.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a file is stale")
    check = parser.parse_args().check
    files = {Path(folder) / name: text for folder in FOLDERS for name, text in rendered().items()}
    stale = [path for path, text in files.items() if not path.exists() or path.read_text() != text]
    if check and stale:
        sys.exit(f"stale: {', '.join(map(str, stale))}; run `make crds`")
    for path in () if check else stale:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(files[path])


if __name__ == "__main__":
    main()
