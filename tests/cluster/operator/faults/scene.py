"""A cluster with fake pods and a Hub, whose operators reach the API server through a proxy that makes faults."""

import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from tests.cluster.operator.fakes import FakePod
from tests.cluster.operator.faults.forks import Fork, Forks
from tests.cluster.operator.faults.proxy import FaultyApi
from tests.cluster.operator.faults.specs import Expected, Specs, differences, look
from tests.cluster.operator.harness import Cluster, cluster, until
from tests.files import lora_file, sha256, whole_model_file
from tests.operator_hub import FakeHub, Repo

from lorapool_api.wire.sources.basic import HubFile
from lorapool_common.kube.kubeconfig import read_kubeconfig
from lorapool_common.kube.resources import ADAPTERS
from lorapool_operator.manifests.deployment import Installation
from lorapool_operator.settings import InstallationKeys

NAME = "pytorch_lora_weights.safetensors"
FILES = {"a/one": lora_file(seed=1), "a/two": lora_file(seed=2), "a/three": lora_file(seed=3)}
SHA256 = {repo: sha256(content) for repo, content in FILES.items()}
SETTLED_S = 40.0


def repos() -> dict[str, Repo]:
    """Three good ones, each at a commit of its own, and one that is no adapter."""
    good = {
        repo: Repo({NAME: content}, commit=f"{number:x}" * 40)
        for number, (repo, content) in enumerate(FILES.items(), 1)
    }
    return good | {"a/model": Repo({NAME: whole_model_file()})}


@dataclass
class Scene:
    """What the tests of faults play with; `specs` are what the objects of the scene ask for by now."""

    it: Cluster
    api: FaultyApi
    forks: Forks
    hub: FakeHub
    plane_kubeconfig: Path
    specs: dict[str, Expected] = field(default_factory=dict)

    async def start_operator(self, identity: str = "one", api: FaultyApi | None = None) -> Fork:
        """One that reaches the API server through that proxy, by default the scene's."""
        folder = self.it.folder / identity
        folder.mkdir(exist_ok=True)
        config = yaml.safe_load(self.it.kubeconfig.read_text())
        for entry in config["clusters"]:
            entry["cluster"] = {"server": (api or self.api).url}
        (folder / "kubeconfig").write_text(yaml.safe_dump(config))
        (folder / "kubeconfig").chmod(0o600)
        env = self.it.operator_environment(identity) | {"KUBECONFIG": str(folder / "kubeconfig")}
        return await self.forks.start("operator", env, self.it.folder / f"operator-{identity}.log")

    async def make(self, name: str, repo: str, **spec: Any) -> None:
        await self.it.make_adapter(name, source={"hub": {"repo": repo}}, **spec)
        self.specs[name] = expected(repo)

    async def edit(self, name: str, repo: str) -> None:
        await self.it.edit(ADAPTERS, name, {"spec": {"source": {"hub": {"repo": repo}}}})
        before = self.specs[name]
        self.specs[name] = expected(repo, before.sha256)

    async def delete(self, name: str) -> None:
        await self.it.delete(ADAPTERS, name)
        del self.specs[name]

    async def play(self, prefix: str) -> None:
        """Everything that happens to adapters, some of it before an operator can know of what was before."""
        await self.make(f"{prefix}-stays", "a/one")
        await self.make(f"{prefix}-goes", "a/two")
        await self.make(f"{prefix}-bad", "a/model")
        await self.make(f"{prefix}-missing", "a/missing")
        await self.make(f"{prefix}-off", "a/one", suspend=True)
        self.specs[f"{prefix}-off"] = Expected("Suspended")

    async def play_on(self, prefix: str) -> None:
        """What happens to those that are there."""
        await self.edit(f"{prefix}-stays", "a/three")
        await self.delete(f"{prefix}-goes")
        await self.edit(f"{prefix}-missing", "a/two")

    async def clear(self) -> None:
        for name in list(self.specs):
            await self.delete(name)

    async def is_as_specified(self, timeout_s: float = SETTLED_S) -> None:
        """Wait until it is: statuses, catalogs and owned objects."""
        await until(self.differences, lambda found: found == [], timeout_s)

    async def differences(self) -> list[str]:
        catalogs = {name: self.catalog(pod) for name, pod in self.it.kubelet.pods.items()}
        found = await look(self.it, catalogs)
        return differences(found, Specs(self.specs), self.installation)

    @property
    def keys(self) -> InstallationKeys:
        return InstallationKeys(((self.it.folder / "key").read_bytes(),))

    @property
    def installation(self) -> Installation:
        """What the operator is told of it."""
        return Installation("runtime:test", self.hub.url, None, (self.hub.host,), trusted=self.keys.trusted)

    def catalog(self, pod: FakePod) -> Mapping[str, str | None]:
        """Key and content of what the pod may serve."""
        entries = (pod.entries or {}).values()
        return {e.key: SHA256.get(e.source.repo) if isinstance(e.source, HubFile) else None for e in entries}


def expected(repo: str, served: str | None = None) -> Expected:
    """Of an adapter from that repository, which was served from another file before."""
    if repo in SHA256:
        return Expected("Served", SHA256[repo])
    return Expected("NotALora" if repo == "a/model" else "SourceNotFound", served, served is not None)


@contextlib.asynccontextmanager
async def scene(plane: Any, folder: Path, forks: Forks, *, fake_pods: bool = True) -> AsyncIterator[Scene]:
    """Without a pool and without an operator."""
    async with (
        FakeHub(repos()) as hub,
        cluster(plane, folder, hub.url, fake_pods=fake_pods) as it,
        FaultyApi(await read_kubeconfig(plane.kubeconfig)).running() as api,
    ):
        yield Scene(it, api, forks, hub, plane.kubeconfig)
