"""helm on the chart of this checkout."""

import functools
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from lorapool_local.binaries import ensure_binaries
from lorapool_local.binaries.find import find
from lorapool_local.binaries.tools import SOURCES
from lorapool_local.errors import BinariesUnavailable

CHART = Path(__file__).parents[3] / "charts" / "lorapool"
NAMESPACE = "lorapool-system"
VERSIONS = ("1.29", "1.30", "1.31", "1.32", "1.33", "1.34")
NEWEST = VERSIONS[-1]

Manifest = dict[str, Any]


@functools.cache
def helm() -> Path | BinariesUnavailable:
    """The program: found, cached or downloaded; building takes too long for a fast test."""
    tool = next(tool for source in SOURCES for tool in source.tools if tool.name == "helm")
    try:
        return find(tool) or ensure_binaries(Console(stderr=True), may_build=False).helm
    except BinariesUnavailable as problem:
        return problem


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Call helm; without it the test is skipped, in CI it fails."""
    program = helm()
    if isinstance(program, BinariesUnavailable):
        if os.environ.get("CI") == "true":
            raise program
        pytest.skip(str(program))
    return subprocess.run([str(program), *arguments], capture_output=True, text=True, timeout=60)


def template(values: Manifest, version: str = NEWEST) -> subprocess.CompletedProcess[str]:
    """Render the chart with these values over its own."""
    command = ("template", "lorapool", str(CHART), "--namespace", NAMESPACE, "--kube-version", f"{version}.0")
    overrides = (f"{key}={json.dumps(value)}" for key, value in values.items())
    return run(*command, *(word for override in overrides for word in ("--set-json", override)))


def render(version: str = NEWEST, **values: Any) -> list[Manifest]:
    """The chart's objects; `gateway__replicas=2` stands for `gateway.replicas`."""
    return parsed(_rendered(version, json.dumps({key.replace("__", "."): value for key, value in values.items()})))


@functools.cache
def _rendered(version: str, values: str) -> str:
    """Many tests look at the same objects, and each call of helm takes a tenth of a second."""
    done = template(json.loads(values), version)
    assert done.returncode == 0, done.stderr
    return done.stdout


def parsed(text: str) -> list[Manifest]:
    return [found for found in yaml.load_all(text, Loader=yaml.CSafeLoader) if found]


def refusal(**values: Any) -> str:
    """What helm says to values that it must refuse."""
    done = template({key.replace("__", "."): value for key, value in values.items()})
    assert done.returncode != 0, "these values should have been refused"
    return done.stderr


def one(objects: list[Manifest], kind: str, name: str) -> Manifest:
    """The object of that kind and name."""
    (found,) = [o for o in objects if o["kind"] == kind and o["metadata"]["name"] == name]
    return found


def pod(workload: Manifest) -> Manifest:
    """The spec of its pods, or that of a Pod."""
    spec = workload["spec"]
    return dict(spec["template"]["spec"] if "template" in spec else spec)


def kinds(objects: list[Manifest], kind: str) -> list[Manifest]:
    return [o for o in objects if o["kind"] == kind]


def container(workload: Manifest) -> Manifest:
    """The only container of a Deployment, a Job or a Pod."""
    (found,) = pod(workload)["containers"]
    return dict(found)


def environment(workload: Manifest) -> dict[str, str]:
    """The container's variables that have a plain value."""
    return {row["name"]: row["value"] for row in container(workload)["env"] if "value" in row}


def rules(role: Manifest) -> set[tuple[str, str, str]]:
    """What a role lets do: (group, resource, verb)."""
    return {
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
