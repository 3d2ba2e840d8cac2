"""The operator as a process of its own, under the chart's own role, in a namespace of its own."""

import asyncio
import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import yaml
from tests import make
from tests.cluster.operator.fakes import Admin, FakeKubelet
from tests.waiting import until_read

from lorapool_api.kinds.adapter import Adapter
from lorapool_api.kinds.conditions import Condition, find
from lorapool_api.kinds.pool import Pool
from lorapool_api.names import ADAPTER_FINALIZER, FIELD_MANAGER
from lorapool_common.kube.client import Kube
from lorapool_common.kube.errors import ApiError
from lorapool_common.kube.kubeconfig import read_kubeconfig
from lorapool_common.kube.resources import ADAPTERS, DEPLOYMENTS, NAMESPACES, POOLS, SERVICE_ACCOUNTS, Resource

CHART = Path(__file__).parents[3] / "charts" / "lorapool"
CRDS = Path(__file__).parents[3] / "crds"
# No scheduler takes the pods: the fake kubelet does. A mount of its own lets `path` sources be used.
TEMPLATE: dict[str, Any] = {
    "spec": {
        "schedulerName": "nobody",
        "containers": [{"name": "runtime", "volumeMounts": [{"name": "files", "mountPath": "/adapters"}]}],
        "volumes": [{"name": "files", "emptyDir": {}}],
    }
}
Manifest = dict[str, Any]
T = TypeVar("T")


async def connect(kubeconfig: Path) -> Admin:
    return Admin(await read_kubeconfig(kubeconfig), field_manager=FIELD_MANAGER)


async def until(read: Callable[[], Awaitable[T]], holds: Callable[[T], bool], timeout_s: float = 20.0) -> T:
    """What is read, once it holds; fails with what was read last."""
    return await until_read(read, holds, deadline_s=timeout_s)


@dataclass
class Cluster:
    """A namespace with a fake kubelet, the operator's account in it, and what tests do there."""

    kube: Admin
    namespace: str
    kubelet: FakeKubelet
    folder: Path
    kubeconfig: Path
    lease: str
    hub_url: str
    cluster_wide: bool = False
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    # ---- the operator

    def operator_environment(self, identity: str) -> dict[str, str]:
        """What the chart sets, and the plane's kubeconfig."""
        return {
            "KUBECONFIG": str(self.kubeconfig),
            "POD_NAME": identity,
            "POD_NAMESPACE": self.namespace,
            "LORAPOOL_NAMESPACES": "" if self.cluster_wide else self.namespace,
            "LORAPOOL_LISTEN": "127.0.0.1",
            "LORAPOOL_PORT": str(_free_port()),
            "LORAPOOL_LEASE": self.lease,
            "LORAPOOL_KEY_FILE": str(self.folder / "key"),
            "LORAPOOL_RUNTIME_IMAGE": "runtime:test",
            "LORAPOOL_NETWORK_PEERS": '{"gateways": [{"podSelector": {}}], "operators": [{"podSelector": {}}]}',
            "HF_ENDPOINT": self.hub_url,
            "LORAPOOL_URL_HOSTS": self.hub_url.removeprefix("http://"),
        }

    def start_operator(self, identity: str = "one", **env: str) -> subprocess.Popen[bytes]:
        settings = self.operator_environment(identity)
        with (self.folder / f"operator-{identity}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "lorapool_common.cli", "operator"],
                env={"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)} | settings | env,
                stdout=log,
                stderr=log,
            )
        self.processes.append(process)
        return process

    async def stop_operator(self, process: subprocess.Popen[bytes], how: int = signal.SIGTERM) -> int:
        process.send_signal(how)
        return await asyncio.to_thread(process.wait, 20)

    def log(self, identity: str = "one") -> str:
        return (self.folder / f"operator-{identity}.log").read_text()

    # ---- objects

    async def make_pool(self, name: str = "shapes", template: Manifest | None = None, **spec: Any) -> None:
        runtime = {"engine": "stub", "device": "cpu", "podTemplate": template or TEMPLATE}
        adapters = {"pathVolumes": ["files"]} | spec.pop("adapters", {})
        made = make.pool_manifest(name, self.namespace, **({"runtime": runtime, "adapters": adapters} | spec))
        await self.kube.create(POOLS, self.namespace, made)

    async def make_adapter(self, name: str = "pixel", namespace: str | None = None, **spec: Any) -> None:
        space = namespace or self.namespace
        await self.kube.create(ADAPTERS, space, make.adapter_manifest(name, space, **spec))

    async def edit(self, resource: Resource, name: str, patch: Manifest) -> Manifest:
        return await self.kube.patch(resource, self.namespace, name, patch)

    async def delete(self, resource: Resource, name: str) -> None:
        await self.kube.remove(resource, self.namespace, name)

    async def get(self, resource: Resource, name: str) -> Manifest | None:
        try:
            return await self.kube.get(resource, self.namespace, name)
        except ApiError as error:
            if error.is_gone:
                return None
            raise

    # ---- waiting

    async def adapter_says(
        self, reason: str, name: str = "pixel", namespace: str | None = None, timeout_s: float = 20.0
    ) -> Any:
        """The adapter, once its summary is that, about its newest generation."""

        async def read() -> Any:
            return Adapter.model_validate(await self.kube.get(ADAPTERS, namespace or self.namespace, name))

        return await until(
            read,
            lambda a: a.status.summary == reason and a.status.observed_generation == a.metadata.generation,
            timeout_s,
        )

    async def pool_says(
        self, type_: str, status: str, reason: str, name: str = "shapes", timeout_s: float = 20.0
    ) -> Condition:
        """The condition, once it has that status for that reason."""

        async def read() -> Any:
            return Pool.model_validate(await self.kube.get(POOLS, self.namespace, name))

        def holds(pool: Any) -> bool:
            found = find(pool.status.conditions, type_)
            return found is not None and (found.status, found.reason) == (status, reason)

        found = find((await until(read, holds, timeout_s)).status.conditions, type_)
        assert found is not None
        return found

    async def gone(self, resource: Resource, name: str, timeout_s: float = 20.0) -> None:
        await until(lambda: self.get(resource, name), lambda found: found is None, timeout_s)

    async def pods(self, count: int, timeout_s: float = 20.0) -> None:
        async def read() -> int:
            return len(self.kubelet.pods)

        await until(read, lambda n: n == count, timeout_s)


@contextlib.asynccontextmanager
async def cluster(
    plane: Any,
    folder: Path,
    hub_url: str,
    *,
    cluster_wide: bool = False,
    enforce: str = "restricted",
    fake_pods: bool = True,
) -> AsyncIterator[Cluster]:
    """A fresh namespace that enforces a Pod Security Standard; all that is in it goes afterwards."""
    namespace = f"op-{secrets.token_hex(4)}"
    install_crds(plane.kubectl, plane.kubeconfig)
    kube = await connect(plane.kubeconfig)
    async with kube:
        labels = {"pod-security.kubernetes.io/enforce": enforce, "team": namespace}
        await kube.create(NAMESPACES, None, {"metadata": {"name": namespace, "labels": labels}})
        account, lease = _install_access(plane, namespace, cluster_wide)
        kubeconfig = await _kubeconfig(kube, plane, namespace, account, folder)
        (folder / "key").write_bytes(secrets.token_bytes(32))
        kubelet = FakeKubelet(kube, namespace)
        it = Cluster(kube, namespace, kubelet, folder, kubeconfig, lease, hub_url, cluster_wide)
        try:
            async with kubelet.running() if fake_pods else contextlib.nullcontext():
                try:
                    yield it
                finally:
                    for process in it.processes:
                        process.kill()
                        process.wait(10)
                    await _clean(kube, namespace)
        finally:
            _kubectl(
                plane, "delete", "--wait=false", "--ignore-not-found", manifests=_access(plane, namespace, cluster_wide)
            )


@cache
def install_crds(kubectl: Path, kubeconfig: Path) -> None:
    """Once per plane."""
    for action in (["apply", "--server-side"], ["wait", "--for=condition=Established", "--timeout=30s"]):
        subprocess.run(
            [kubectl, "--kubeconfig", kubeconfig, *action, "-f", CRDS], capture_output=True, check=True, timeout=60
        )


async def _clean(kube: Admin, namespace: str) -> None:
    """Without an operator nobody takes the finalizers off."""
    for body in await kube.list(ADAPTERS, namespace):
        if ADAPTER_FINALIZER in body["metadata"].get("finalizers", ()):
            await kube.patch(ADAPTERS, namespace, body["metadata"]["name"], {"metadata": {"finalizers": None}})
    for resource in (ADAPTERS, POOLS, DEPLOYMENTS):
        for body in await kube.list(resource, namespace):
            await kube.remove(resource, namespace, body["metadata"]["name"])
    await kube.remove(NAMESPACES, None, namespace)


def _access(plane: Any, namespace: str, cluster_wide: bool) -> bytes:
    """Role, account and bindings of the operator, as the chart renders them."""
    spaces = "" if cluster_wide else namespace
    rendered = subprocess.run(
        [
            plane.helm,
            "template",
            namespace,
            CHART,
            "--kube-version",
            "1.34",
            "--namespace",
            namespace,
            "--set",
            f"watchNamespaces={{{spaces}}}" if spaces else "watchNamespaces=null",
        ],
        capture_output=True,
        check=True,
    ).stdout
    kinds = ("Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding", "ServiceAccount")
    documents = [
        d for d in yaml.safe_load_all(rendered) if d and d["kind"] in kinds and "-operator" in d["metadata"]["name"]
    ]
    return yaml.safe_dump_all(documents).encode()


def _kubectl(plane: Any, *action: str, manifests: bytes) -> None:
    command = [plane.kubectl, "--kubeconfig", plane.kubeconfig, *action, "-f", "-"]
    subprocess.run(command, input=manifests, capture_output=True, check=True, timeout=60)


def _install_access(plane: Any, namespace: str, cluster_wide: bool) -> tuple[str, str]:
    """(name of the ServiceAccount, name of the Lease that it may hold)."""
    access = _access(plane, namespace, cluster_wide)
    _kubectl(plane, "apply", "--server-side", manifests=access)
    documents = list(yaml.safe_load_all(access))
    (account,) = (d["metadata"]["name"] for d in documents if d["kind"] == "ServiceAccount")
    named = (r.get("resourceNames") for d in documents if d["kind"] == "Role" for r in d["rules"])
    ((lease,),) = (n for n in named if n)
    return account, lease


async def _kubeconfig(kube: Kube, plane: Any, namespace: str, account: str, folder: Path) -> Path:
    """The plane's kubeconfig with a token of the account instead of the administrator's credentials."""
    await kube.get(SERVICE_ACCOUNTS, namespace, account)
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    reply = await kube.create(SERVICE_ACCOUNTS, namespace, request, account, "token")
    admin = yaml.safe_load(plane.kubeconfig.read_text())
    admin["users"] = [{"name": u["name"], "user": {"token": reply["status"]["token"]}} for u in admin["users"]]
    made = folder / "kubeconfig"
    made.write_text(yaml.safe_dump(admin))
    made.chmod(0o600)
    return made


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
