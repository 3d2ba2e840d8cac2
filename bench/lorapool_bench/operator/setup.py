"""Where the bench of the operator takes place: a control plane, light pods and the operator, as processes."""

import asyncio
import os
import secrets
import subprocess
import sys
import tempfile
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp
import yaml
from rich.console import Console

from lorapool_api import names
from lorapool_bench.measure import processes
from lorapool_bench.operator.audit import AuditLog, policy
from lorapool_bench.operator.kubelet import say_that_they_run
from lorapool_bench.operator.ready import ReadyWatch, until
from lorapool_common.kube.client import Kube
from lorapool_common.kube.kubeconfig import read_kubeconfig
from lorapool_common.kube.resources import (
    BUDGETS,
    DEPLOYMENTS,
    NAMESPACES,
    NETWORK_POLICIES,
    POOLS,
    SERVICE_ACCOUNTS,
    SERVICES,
    Manifest,
)
from lorapool_local import plane as planes
from lorapool_local.binaries import ensure_binaries
from lorapool_local.config import PlaneConfig

NAMESPACE: Final = "bench"
POOL: Final = "bench"
_ACCOUNT: Final = "operator"
_CRDS: Final = Path("crds")
_PORT: Final = 8080
_START_S: Final = 120.0
# As in its image, which lacks that package: kopf imports it where it is, as here for tests, at 13 MB and 0.3 s.
_COMMAND: Final = """
import sys
sys.modules["kubernetes"] = None
sys.argv = ["lorapool", "operator"]
from lorapool_common.cli import main
main()
"""
# No scheduler takes the pods: the bench says that they run.
_TEMPLATE: Final[Manifest] = {
    "spec": {
        "schedulerName": "nobody",
        "containers": [{"name": "runtime", "volumeMounts": [{"name": "files", "mountPath": "/adapters"}]}],
        "volumes": [{"name": "files", "emptyDir": {}}],
    }
}


@dataclass
class OperatorProcess:
    """The operator, from the start of its process."""

    process: Process
    url: str
    started_s: float

    @property
    def cpu_s(self) -> float:
        return processes.cpu_s(self.process.pid)

    @property
    def most_bytes(self) -> int:
        return processes.most_bytes(self.process.pid)

    async def adapters(self, reason: str) -> int:
        """How many adapters have that reason, by its metrics; -1 while it does not answer."""
        try:
            async with aiohttp.ClientSession() as http, http.get(f"{self.url}/metrics") as reply:
                text = await reply.text()
        except aiohttp.ClientError:
            return -1
        rows = (row for row in text.splitlines() if row.startswith("lorapool_operator_adapters{"))
        return sum(int(float(row.rpartition(" ")[2])) for row in rows if f'reason="{reason}"' in row)

    async def until_up(self) -> None:
        """Return when it answers."""

        async def answers() -> bool:
            return await self.adapters("Served") >= 0

        await until(answers, 0.02, _START_S)

    async def end(self) -> None:
        """As a pod ends: with a signal, and an end in order."""
        if self.process.returncode is None:
            self.process.terminate()
        await self.process.wait()


@dataclass
class OperatorBench:
    """A pool whose pods run, and what a scene does with it."""

    kube: Kube
    folder: Path
    kubectl: Path
    kubeconfig: Path
    address: str
    stack: AsyncExitStack
    audit: AuditLog
    ready: ReadyWatch
    environment: dict[str, str] = field(default_factory=dict)

    async def start(self) -> OperatorProcess:
        """An operator; it is up when it answers."""
        with (self.folder / "operator.log").open("ab") as log:
            started_s = time.monotonic()
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-c", _COMMAND, env=self.environment, stdout=log, stderr=log
            )
        operator = OperatorProcess(process, f"http://{self.address}:{_PORT}", started_s)
        self.stack.push_async_callback(operator.end)
        return operator

    async def versions(self) -> dict[str, str]:
        """Of the pool and its objects, by uid."""
        kinds = (POOLS, DEPLOYMENTS, SERVICES, BUDGETS, NETWORK_POLICIES)
        found = [body["metadata"] for kind in kinds for body in await self.kube.list(kind, NAMESPACE)]
        return {meta["uid"]: meta["resourceVersion"] for meta in found}

    async def apply(self, manifests: list[Manifest]) -> None:
        """As a person does, with kubectl, from one file. Raises: CalledProcessError."""
        path = self.folder / "adapters.yaml"
        path.write_text(yaml.dump_all(manifests, Dumper=yaml.CSafeDumper))
        command = (self.kubectl, "--kubeconfig", self.kubeconfig, "apply", "--server-side", "-f", path)
        process = await asyncio.create_subprocess_exec(*map(str, command), stdout=subprocess.DEVNULL)
        if code := await process.wait():
            raise subprocess.CalledProcessError(code, "kubectl apply")


@asynccontextmanager
async def bench(pods: int) -> AsyncIterator[OperatorBench]:
    """A pool with so many pods that run, and no adapters; no operator runs."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        log, rules = folder / "audit.log", folder / "policy.json"
        rules.write_text(policy(f"system:serviceaccount:{NAMESPACE}:{_ACCOUNT}"))
        flags = [f"--audit-log-path={log}", f"--audit-policy-file={rules}"]
        config = PlaneConfig(extra_flags={"kube-apiserver": flags})
        plane = stack.enter_context(
            planes.running(folder / "plane", ensure_binaries(Console(stderr=True)), config, purge=True)
        )
        kube = await stack.enter_async_context(Kube(await read_kubeconfig(plane.kubeconfig), timeout_s=_START_S * 2))
        _install(plane)
        await kube.create(NAMESPACES, None, {"metadata": {"name": NAMESPACE}})
        network = ".".join(plane.server.partition("://")[2].split(".")[:2])
        made = OperatorBench(
            kube, folder, plane.kubectl, plane.kubeconfig, f"{network}.0.2", stack, AuditLog(log),
            ReadyWatch(kube, NAMESPACE), await _environment(kube, plane, folder, f"{network}.0.2"),
        )  # fmt: skip
        await _pool(made, [f"{network}.1.{number}" for number in range(1, pods + 1)])
        watching = asyncio.create_task(made.ready.run())
        stack.callback(watching.cancel)
        yield made


def _install(plane: planes.Plane) -> None:
    """The definitions. Raises: CalledProcessError."""
    for action in (("apply", "--server-side"), ("wait", "--for=condition=Established", "--timeout=30s")):
        command = (plane.kubectl, "--kubeconfig", plane.kubeconfig, *action, "-f", _CRDS)
        subprocess.run(tuple(map(str, command)), capture_output=True, check=True)  # noqa: S603 -- no input


async def _environment(kube: Kube, plane: planes.Plane, folder: Path, address: str) -> dict[str, str]:
    """Of the operator's process: an account of its own, which may do everything and is limited as others are."""
    await kube.create(SERVICE_ACCOUNTS, NAMESPACE, {"metadata": {"name": _ACCOUNT}})
    group = "rbac.authorization.k8s.io"
    binding = {
        "metadata": {"name": "bench-operator"},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "name": _ACCOUNT, "namespace": NAMESPACE}],
    }
    await kube.request("POST", f"/apis/{group}/v1/clusterrolebindings", body=binding)
    asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    reply = await kube.create(SERVICE_ACCOUNTS, NAMESPACE, asked, _ACCOUNT, "token")
    config: dict[str, Any] = yaml.safe_load(plane.kubeconfig.read_text())
    config["users"] = [{"name": u["name"], "user": {"token": reply["status"]["token"]}} for u in config["users"]]
    (folder / "kubeconfig").write_text(yaml.safe_dump(config))
    (folder / "key").write_bytes(secrets.token_bytes(32))
    return {
        "PATH": os.environ["PATH"],
        "KUBECONFIG": str(folder / "kubeconfig"),
        "POD_NAMESPACE": NAMESPACE,
        "POD_NAME": "bench",
        "LORAPOOL_LISTEN": address,
        "LORAPOOL_PORT": str(_PORT),
        "LORAPOOL_KEY_FILE": str(folder / "key"),
    }


async def _pool(at: OperatorBench, addresses: list[str]) -> None:
    """The pool, with the pods that the operator's Deployment makes; the operator has ended then."""
    program = (sys.executable, "-m", "lorapool_bench.operator.pods", *addresses)
    process = await asyncio.create_subprocess_exec(*program, env={"PATH": os.environ["PATH"]})
    at.stack.push_async_callback(_kill, process)
    runtime = {"engine": "stub", "device": "cpu", "podTemplate": _TEMPLATE}
    pool = {
        "apiVersion": names.API_VERSION,
        "kind": names.POOL_KIND,
        "metadata": {"name": POOL, "namespace": NAMESPACE},
        "spec": {
            "model": {"source": {"path": "/models/bench"}},
            "runtime": runtime,
            "adapters": {"pathVolumes": ["files"]},
            "replicas": len(addresses),
        },
    }
    await at.kube.create(POOLS, NAMESPACE, pool)
    operator = await at.start()

    async def run() -> bool:
        return await say_that_they_run(at.kube, NAMESPACE, addresses)

    async def is_ready() -> bool:
        found = await at.kube.get(POOLS, NAMESPACE, POOL)
        conditions = found.get("status", {}).get("conditions", ())
        return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)

    await until(run, 0.2, _START_S)
    await until(is_ready, 0.2, _START_S)
    await operator.end()


async def _kill(process: Process) -> None:
    if process.returncode is None:
        process.kill()
    await process.wait()
