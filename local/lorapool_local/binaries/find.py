"""Programs that the machine has already: in $KUBEBUILDER_ASSETS, on the PATH."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from lorapool_local.binaries.tools import Tool, Version

ASSETS_ENV = "KUBEBUILDER_ASSETS"
_VERSION = re.compile(r"v?(\d+)\.(\d+)\.(\d+)")
# A wrapper that asks the network first is not waited for.
_TIMEOUT_S = 10.0


def find(tool: Tool, environment: Mapping[str, str] = os.environ) -> Path | None:
    """The first candidate of an acceptable version."""
    return next((path for path in _candidates(tool, environment) if is_acceptable(tool, version_of(tool, path))), None)


def is_acceptable(tool: Tool, version: Version | None) -> bool:
    return version is not None and tool.oldest <= version < tool.below


def version_of(tool: Tool, path: Path) -> Version | None:
    """What the program says of itself; None where it says nothing."""
    try:
        said = subprocess.run(  # noqa: S603 -- a program that the user has on the PATH
            [str(path), *tool.version_arguments],
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return parse_version(said.stdout)


def parse_version(text: str) -> Version | None:
    """The first `1.2.3` in it."""
    match = _VERSION.search(text)
    return tuple(int(part) for part in match.groups()) if match else None


def _candidates(tool: Tool, environment: Mapping[str, str]) -> Iterator[Path]:
    if assets := environment.get(ASSETS_ENV):
        path = Path(assets) / tool.name
        if os.access(path, os.X_OK):
            yield path
    if on_path := shutil.which(tool.name, path=environment.get("PATH")):
        yield Path(on_path)
