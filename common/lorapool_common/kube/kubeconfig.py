"""Reads kubeconfig files as kubectl does: `KUBECONFIG` may name several, the first that says a thing wins.

Written by hand, because the config module of the `kubernetes` package imports all generated models: 16 MB of memory in
an operator, 10 MB in a gateway, and with what it needs 124 MB in their image.
"""

import asyncio
import base64
import binascii
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import yaml

from lorapool_common.kube.access import TOKEN_FILE_S, ClusterAccess
from lorapool_common.kube.errors import AccessError

_DEFAULT: Final = "~/.kube/config"
_EXEC_S: Final = 60.0
_EXEC_VERSIONS: Final = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")

Entry = Mapping[str, Any]


async def load_access() -> ClusterAccess:
    """In a pod: as its ServiceAccount. Elsewhere: as the kubeconfig says. Read anew. Raises: AccessError."""
    if os.environ.get("KUBERNETES_SERVICE_HOST"):
        return ClusterAccess.in_cluster()
    return await read_kubeconfig(*_named_files())


async def read_kubeconfig(*paths: Path) -> ClusterAccess:
    """The access of the current context. Raises: AccessError."""
    files = [(path.parent, _parse(path)) for path in paths if path.exists()]
    if not files:
        raise AccessError(f"there is no kubeconfig at {', '.join(map(str, paths))}")
    current = next((config["current-context"] for _, config in files if config.get("current-context")), None)
    if current is None:
        raise AccessError(f"no current context is set in {', '.join(map(str, paths))}")
    _, context = _named(files, "context", current)
    folder, cluster = _named(files, "cluster", context.get("cluster"))
    if not cluster.get("server"):
        raise AccessError(f"the cluster of context {current} has no server")
    user_folder, user = _named(files, "user", context["user"]) if context.get("user") else (folder, {})
    return ClusterAccess(
        server=str(cluster["server"]).rstrip("/"),
        authority=_pem(cluster, "certificate-authority", folder),
        server_name=cluster.get("tls-server-name"),
        proxy=_proxy(cluster),
        is_insecure=bool(cluster.get("insecure-skip-tls-verify")),
        **await _credentials(user, user_folder),
    )


def _proxy(cluster: Entry) -> str | None:
    url = cluster.get("proxy-url")
    if url and urlsplit(str(url)).scheme not in ("http", "https"):
        raise AccessError("the kubeconfig's proxy-url is not supported: only proxies by http and https are")
    return url or None


def _named_files() -> list[Path]:
    named = os.environ.get("KUBECONFIG") or _DEFAULT
    return [Path(path).expanduser() for path in named.split(os.pathsep) if path]


def _parse(path: Path) -> Entry:
    try:
        parsed = yaml.safe_load(path.read_text())
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise AccessError(f"kubeconfig {path}: {error}") from error
    if not isinstance(parsed, Mapping | None):
        raise AccessError(f"kubeconfig {path}: a mapping is expected")
    return parsed or {}


def _named(files: list[tuple[Path, Entry]], what: str, name: str | None) -> tuple[Path, Entry]:
    """The entry and the folder of its file, which relative paths are meant from."""
    for folder, config in files:
        for item in config.get(f"{what}s") or ():
            if item.get("name") == name:
                return folder, item.get(what) or {}
    raise AccessError(f"the kubeconfig has no {what} {name}")


async def _credentials(user: Entry, folder: Path) -> dict[str, Any]:
    if user.get("exec"):
        return await _run_plugin(user["exec"], folder)
    if user.get("auth-provider"):
        raise AccessError("auth-provider in a kubeconfig is not supported: use an exec plugin, as kubectl does")
    token = user.get("token")
    if user.get("tokenFile"):  # it wins over `token`, as for kubectl
        token = _read(folder / user["tokenFile"]).strip()
    return {
        "token": token,
        "fresh_s": TOKEN_FILE_S if user.get("tokenFile") else None,
        "basic": (user["username"], user.get("password", "")) if user.get("username") else None,
        "certificate": _pem(user, "client-certificate", folder),
        "key": _pem(user, "client-key", folder),
    }


def _pem(entry: Entry, name: str, folder: Path) -> str | None:
    """What stands in the entry itself wins over the file that it names."""
    if data := entry.get(f"{name}-data"):
        try:
            return base64.b64decode(data, validate=True).decode()
        except (binascii.Error, ValueError) as error:
            raise AccessError(f"the kubeconfig's {name}-data is not base64 of PEM: {error}") from error
    return _read(folder / entry[name]) if entry.get(name) else None


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, ValueError) as error:
        raise AccessError(f"the kubeconfig names a file that cannot be read: {error}") from error


async def _run_plugin(plugin: Entry, folder: Path) -> dict[str, Any]:
    """Credentials of an exec plugin (client-go's credential plugins)."""
    version, command = plugin.get("apiVersion"), str(plugin.get("command") or "")
    if version not in _EXEC_VERSIONS or not command:
        raise AccessError(f"exec plugin {command!r} of version {version}: supported are {', '.join(_EXEC_VERSIONS)}")
    info = {"apiVersion": version, "kind": "ExecCredential", "spec": {"interactive": False}}
    env = os.environ | {item["name"]: item["value"] for item in plugin.get("env") or ()}
    try:
        process = await asyncio.create_subprocess_exec(
            str(folder / command) if os.sep in command else command,
            *map(str, plugin.get("args") or ()),
            env=env | {"KUBERNETES_EXEC_INFO": json.dumps(info)},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
    except OSError as error:
        raise AccessError(f"exec plugin {command!r}: {error} {plugin.get('installHint') or ''}".rstrip()) from error
    try:
        async with asyncio.timeout(_EXEC_S):
            said, complaint = await process.communicate()
    except TimeoutError as error:
        raise AccessError(f"exec plugin {command!r} gave no answer within {_EXEC_S:.0f} s") from error
    finally:
        if process.returncode is None:
            process.kill()
    if process.returncode:
        raise AccessError(f"exec plugin {command!r} failed: {complaint.decode(errors='replace').strip()[:500]}")
    return _credential(command, said)


def _credential(command: str, said: bytes) -> dict[str, Any]:
    try:
        status = json.loads(said)["status"]
        return {
            "token": status.get("token"),
            "certificate": status.get("clientCertificateData"),
            "key": status.get("clientKeyData"),
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise AccessError(f"exec plugin {command!r} printed no ExecCredential") from error
