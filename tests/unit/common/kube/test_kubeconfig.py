"""Credentials, as kubectl finds them."""

import base64
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from lorapool_common.kube.access import ClusterAccess
from lorapool_common.kube.errors import AccessError
from lorapool_common.kube.kubeconfig import load_access, read_kubeconfig


def config(user: dict[str, Any] | None = None, **cluster: Any) -> dict[str, Any]:
    return {
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": "https://one:6443", **cluster}}],
        "users": [{"name": "u", "user": user or {}}],
    }


def write(path: Path, content: Any) -> Path:
    path.write_text(yaml.safe_dump(content))
    return path


async def test_a_token_and_an_authority_are_read(tmp_path: Path) -> None:
    data = base64.b64encode(b"PEM").decode()
    path = write(tmp_path / "config", config({"token": "t"}, **{"certificate-authority-data": data}))
    access = await read_kubeconfig(path)
    assert access == ClusterAccess("https://one:6443", "PEM", token="t")
    assert access.authorization == "Bearer t"
    assert "token" not in repr(access)


async def test_paths_are_meant_from_the_file_that_names_them(tmp_path: Path) -> None:
    for name in ("ca", "crt", "key", "token"):
        (tmp_path / name).write_text(name)
    user = {"client-certificate": "crt", "client-key": "key", "tokenFile": "token", "token": "stale"}
    access = await read_kubeconfig(write(tmp_path / "config", config(user, **{"certificate-authority": "ca"})))
    assert (access.authority, access.certificate, access.key, access.token) == ("ca", "crt", "key", "token")
    assert access.fresh_s == 60.0


async def test_a_proxy_and_another_name_of_the_server_are_read(tmp_path: Path) -> None:
    cluster = {"proxy-url": "http://proxy:3128", "tls-server-name": "kubernetes"}
    access = await read_kubeconfig(write(tmp_path / "config", config(None, **cluster)))
    assert (access.proxy, access.server_name) == ("http://proxy:3128", "kubernetes")


async def test_the_first_of_several_files_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = write(tmp_path / "first", {"current-context": "here", "users": [{"name": "u", "user": {"token": "mine"}}]})
    second = write(tmp_path / "second", config({"token": "theirs"}) | {"current-context": "there"})
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setenv("KUBECONFIG", os.pathsep.join((str(tmp_path / "none"), str(first), str(second))))
    access = await load_access()
    assert (access.server, access.token) == ("https://one:6443", "mine")


async def test_a_pod_is_known_by_its_service_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "token").write_text("t\n")
    (tmp_path / "ca.crt").write_text("PEM")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "6443")
    access = ClusterAccess.in_cluster(tmp_path)
    assert access == ClusterAccess("https://[fd00::1]:6443", "PEM", token="t", fresh_s=60.0)
    with pytest.raises(AccessError, match="no ServiceAccount is mounted"):
        ClusterAccess.in_cluster(tmp_path / "none")


async def test_user_and_password_are_sent_as_basic(tmp_path: Path) -> None:
    access = await read_kubeconfig(write(tmp_path / "config", config({"username": "u", "password": "p"})))
    assert access.authorization == f"Basic {base64.b64encode(b'u:p').decode()}"


PLUGIN = """
import json, os
asked = json.loads(os.environ["KUBERNETES_EXEC_INFO"])
token = os.environ["SAID"] + asked["kind"]
print(json.dumps({"apiVersion": asked["apiVersion"], "kind": "ExecCredential", "status": {"token": token}}))
"""


def plugin(*args: str, **fields: Any) -> dict[str, Any]:
    env = [{"name": "SAID", "value": "hello"}]
    version = "client.authentication.k8s.io/v1"
    return {"exec": {"apiVersion": version, "command": sys.executable, "args": list(args), "env": env} | fields}


async def test_an_exec_plugin_gives_the_token(tmp_path: Path) -> None:
    path = write(tmp_path / "config", config(plugin("-c", PLUGIN)))
    assert (await read_kubeconfig(path)).token == "helloExecCredential"


@pytest.mark.parametrize(
    ("user", "complaint"),
    [
        (plugin("-c", "import sys; sys.exit('no login')"), "no login"),
        (plugin("-c", "print('hello')"), "printed no ExecCredential"),
        (plugin(apiVersion="client.authentication.k8s.io/v1alpha1"), "supported are"),
        (plugin(command="/nowhere/at-all", installHint="install it"), "install it"),
        ({"auth-provider": {"name": "gcp"}}, "use an exec plugin"),
        ({"tokenFile": "none"}, "cannot be read"),
        ({"client-certificate-data": "%"}, "not base64"),
    ],
)
async def test_credentials_that_cannot_be_had_say_why(tmp_path: Path, user: dict[str, Any], complaint: str) -> None:
    with pytest.raises(AccessError, match=complaint):
        await read_kubeconfig(write(tmp_path / "config", config(user)))


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ({}, "no current context"),
        (config() | {"current-context": "there"}, "no context there"),
        (config() | {"clusters": []}, "no cluster c"),
        (config() | {"users": []}, "no user u"),
        (config(server=None), "has no server"),
        (config(None, **{"proxy-url": "socks5://u:secret@one"}), "only proxies by http and https are$"),
        ([], "a mapping is expected"),
    ],
)
async def test_a_kubeconfig_that_is_not_whole_says_what_is_missing(
    tmp_path: Path, content: Any, complaint: str
) -> None:
    with pytest.raises(AccessError, match=complaint):
        await read_kubeconfig(write(tmp_path / "config", content))


async def test_no_kubeconfig_at_all_names_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(AccessError, match=str(tmp_path / "none")):
        await read_kubeconfig(tmp_path / "none")


def test_certificates_that_are_none_are_told() -> None:
    with pytest.raises(AccessError, match="cannot be used"):
        ClusterAccess("https://one", "no PEM").tls()
    with pytest.raises(AccessError, match="cannot be used"):
        ClusterAccess("https://one", certificate="no PEM", key="no PEM").tls()
