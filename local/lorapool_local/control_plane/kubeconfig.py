"""Kubeconfig files of a plane."""

import base64
from pathlib import Path
from typing import Any

import yaml

from lorapool_common.files import write_atomically
from lorapool_local.pki import KeyPair

CONTEXT = "lorapool-local"


def with_token(server: str, authority: Path, token: str) -> dict[str, Any]:
    return _kubeconfig(server, authority, {"token": token})


def with_certificate(server: str, authority: Path, pair: KeyPair) -> dict[str, Any]:
    user = {"client-certificate-data": _data(pair.certificate), "client-key-data": _data(pair.key)}
    return _kubeconfig(server, authority, user)


def write(path: Path, kubeconfig: dict[str, Any]) -> Path:
    """Readable by its owner alone."""
    write_atomically(path, yaml.safe_dump(kubeconfig, sort_keys=False))
    return path


def _kubeconfig(server: str, authority: Path, user: dict[str, Any]) -> dict[str, Any]:
    cluster = {"server": server, "certificate-authority-data": _data(authority)}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": CONTEXT, "cluster": cluster}],
        "users": [{"name": CONTEXT, "user": user}],
        "contexts": [{"name": CONTEXT, "context": {"cluster": CONTEXT, "user": CONTEXT}}],
        "current-context": CONTEXT,
    }


def _data(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
