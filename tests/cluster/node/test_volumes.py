"""Volumes at their real paths, and what a container may write."""

import base64
import os
from pathlib import Path

import httpx
import pytest
from tests.cluster.namespace import Namespace, is_ready
from tests.cluster.node.test_pods import SERVE, server
from tests.waiting import until_read

from lorapool_common.kube.resources import SECRETS
from lorapool_local.plane import Plane

# A mount path that the machine lacks: it must not be made there.
MACHINE_FOLDER = "lorapool-test"
CALL_API = """
import json, ssl, urllib.request, os, pathlib
folder = pathlib.Path('/var/run/secrets/kubernetes.io/serviceaccount')
token, namespace = (folder / 'token').read_text(), (folder / 'namespace').read_text()
url = f"https://{os.environ['KUBERNETES_SERVICE_HOST']}:{os.environ['KUBERNETES_SERVICE_PORT']}"
headers = {'authorization': f'Bearer {token}'}
request = urllib.request.Request(f'{url}/api/v1/namespaces/{namespace}/RESOURCE', headers=headers)
context = ssl.create_default_context(cafile=folder / 'ca.crt')
try:
    print(urllib.request.urlopen(request, context=context).status)
except urllib.error.HTTPError as refused:
    print(refused.code)
"""


@pytest.fixture(autouse=True)
def _namespaces(plane: Plane) -> None:
    if plane.report.isolation != "namespaces":
        pytest.skip(f"volumes are in {plane.report.isolation}")


async def test_a_secret_is_at_its_path_and_follows_its_object(namespace: Namespace) -> None:
    await namespace.create("secrets", {"metadata": {"name": "control"}, "stringData": {"token": "first"}})
    mounts = [{"name": "control", "mountPath": f"/etc/{MACHINE_FOLDER}/control"}]
    volumes = [{"name": "control", "secret": {"secretName": "control"}}]
    container = server(
        workingDir=f"/etc/{MACHINE_FOLDER}/control",
        volumeMounts=mounts,
        readinessProbe={"tcpSocket": {"port": "http"}, "periodSeconds": 1},
    )
    await namespace.run("reader", SERVE, container=container, volumes=volumes)
    address = (await namespace.wait("pods/reader", is_ready))["status"]["podIP"]

    async with httpx.AsyncClient(trust_env=False, base_url=f"http://{address}:8080") as client:

        async def served(name: str) -> str:
            return (await client.get(f"/{name}")).text

        assert await served("token") == "first"
        second = {"data": {"token": base64.b64encode(b"second").decode()}}
        await namespace.kube.patch(SECRETS, namespace.name, "control", second)
        await until_read(lambda: served("token"), lambda found: found == "second")
    assert MACHINE_FOLDER not in os.listdir("/etc")  # noqa: PTH208 -- names alone


async def test_a_service_account_token_opens_what_its_roles_allow(namespace: Namespace) -> None:
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]}]
    subject = {"kind": "ServiceAccount", "name": "default", "namespace": namespace.name}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"}
    await namespace.create("roles", {"metadata": {"name": "reader"}, "rules": rules}, rbac)
    await namespace.create(
        "rolebindings", {"metadata": {"name": "reader"}, "roleRef": role, "subjects": [subject]}, rbac
    )

    for resource, answer in (("configmaps", "200"), ("secrets", "403")):
        await namespace.run(resource, CALL_API.replace("RESOURCE", resource), restartPolicy="Never")
        await namespace.ended(resource)
        assert await namespace.log(resource) == f"{answer}\n"


async def test_projected_and_downward_files_are_written(namespace: Namespace) -> None:
    sources = [
        {"configMap": {"name": "settings", "items": [{"key": "a", "path": "sub/a.txt"}]}},
        {"downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
    ]
    await namespace.create("configmaps", {"metadata": {"name": "settings"}, "data": {"a": "A", "b": "B"}})
    script = """
import pathlib
files = [p for p in pathlib.Path('/files').rglob('[!.]*') if p.is_file()]
print(sorted((p.name, p.read_text()) for p in files))
"""
    pod = {
        "metadata": {"name": "files", "labels": {"app": "x"}},
        "spec": {
            "restartPolicy": "Never",
            "containers": [
                {
                    "name": "main",
                    "image": "test/python",
                    "args": [script],
                    "volumeMounts": [{"name": "all", "mountPath": "/files"}],
                }
            ],
            "volumes": [{"name": "all", "projected": {"sources": sources}}],
        },
    }
    await namespace.create("pods", pod)

    await namespace.ended("files")
    log = await namespace.log("files")
    assert "('a.txt', 'A')" in log
    assert 'app="x"' in log
    assert "'B'" not in log


async def test_the_machine_is_read_only_and_tmp_is_private(namespace: Namespace, tmp_path: Path) -> None:
    script = f"""
import pathlib
for path in ('/etc/lorapool-was-here', '{tmp_path}/was-here', '/tmp/mine', '/shared/file'):
    try:
        pathlib.Path(path).write_text('x'); print(path, 'written')
    except OSError as refused:
        print(path, refused.strerror)
"""
    mounts = [{"name": "shared", "mountPath": "/shared"}]
    volumes = [{"name": "shared", "hostPath": {"path": str(tmp_path), "type": "Directory"}}]
    for name, read_only, tmp in (("plain", False, "written"), ("strict", True, "Read-only file system")):
        security = {"readOnlyRootFilesystem": read_only, "allowPrivilegeEscalation": False}
        container = {"volumeMounts": mounts, "securityContext": security}
        await namespace.run(name, script, container=container, volumes=volumes, restartPolicy="Never")
        await namespace.ended(name)
        assert await namespace.log(name) == (
            "/etc/lorapool-was-here Read-only file system\n"
            f"{tmp_path}/was-here No such file or directory\n"
            f"/tmp/mine {tmp}\n"  # noqa: S108
            "/shared/file written\n"
        )
    assert (tmp_path / "file").read_text() == "x"


async def test_a_folder_of_the_node_that_the_pods_user_may_not_write_is_read_only(
    namespace: Namespace, tmp_path: Path
) -> None:
    script = """
import pathlib
try:
    pathlib.Path('/shared/file').write_text('x'); print('written')
except OSError as refused:
    print(refused.strerror)
"""
    volumes = [{"name": "shared", "hostPath": {"path": str(tmp_path / "cache"), "type": "DirectoryOrCreate"}}]
    container = {"volumeMounts": [{"name": "shared", "mountPath": "/shared"}]}
    users = (("root", 0, "written"), ("other", 65532, "Read-only file system"))
    for name, user, said in users:
        security = {"runAsUser": user, "runAsGroup": user, "fsGroup": user}
        pod = {"container": container, "volumes": volumes, "securityContext": security, "restartPolicy": "Never"}
        await namespace.run(name, script, **pod)
        await namespace.ended(name)
        assert await namespace.log(name) == f"{said}\n"
