"""Which programs a plane needs, in which versions, and where they come from."""

import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

KUBERNETES_VERSION: Final = "1.34.1"
ETCD_VERSION: Final = "3.6.5"
HELM_VERSION: Final = "3.19.0"

ARCHITECTURE: Final = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())

Version = tuple[int, ...]


@dataclass(frozen=True)
class Binaries:
    """Where each program lies."""

    etcd: Path
    apiserver: Path
    controller_manager: Path
    scheduler: Path
    kubectl: Path
    helm: Path

    def to_json(self) -> dict[str, str]:
        return {name: str(path) for name, path in asdict(self).items()}

    @classmethod
    def from_json(cls, value: Mapping[str, str]) -> "Binaries":
        return cls(**{name: Path(path) for name, path in value.items()})


@dataclass(frozen=True)
class NodeBinaries:
    """What a real node runs besides its container runtime; the embedded plane has a node of its own."""

    kubelet: Path
    kube_proxy: Path


@dataclass(frozen=True)
class Tool:
    """One program."""

    name: str
    version_arguments: tuple[str, ...]
    oldest: Version
    """One that is found on the machine will do from this version on..."""
    below: Version
    """... and before this one."""


@dataclass(frozen=True)
class Archive:
    """What is downloaded, and where its checksum stands. `{tool}` is the program's name."""

    url: str
    checksum_url: str
    member: str | None
    """The program inside an archive; None where the download is the program itself."""


@dataclass(frozen=True)
class ProgramSource:
    """Programs of one project and version: they are built together, and lie in one folder of the cache."""

    name: str
    version: str
    tools: tuple[Tool, ...]
    archive: Archive
    packages: tuple[str, ...]
    """What `go build` is asked for, in the module under `go/`."""
    linker_flags: str
    usual_build_s: float
    packages_in_all: int
    """How many Go packages a build from nothing compiles: for the progress bar."""
    module: str = ""
    """The folder under `go/` where that is not this name."""

    @property
    def folder(self) -> str:
        return f"{self.name}-{self.version}"


_K8S_MINOR = KUBERNETES_VERSION.split(".")[1]
_K8S_VERSION_PACKAGE = "k8s.io/component-base/version"
# Controller manager and scheduler must not be newer than the apiserver: all three of one minor version.
_SAME_MINOR = {"oldest": (1, int(_K8S_MINOR)), "below": (1, int(_K8S_MINOR) + 1)}
_K8S_COMPONENTS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")

_K8S_ARCHIVE = Archive(
    url=f"https://dl.k8s.io/release/v{KUBERNETES_VERSION}/bin/linux/{ARCHITECTURE}/{{tool}}",
    checksum_url=f"https://dl.k8s.io/release/v{KUBERNETES_VERSION}/bin/linux/{ARCHITECTURE}/{{tool}}.sha256",
    member=None,
)
_K8S_LINKER_FLAGS = (
    f"-X {_K8S_VERSION_PACKAGE}.gitVersion=v{KUBERNETES_VERSION} "
    f"-X {_K8S_VERSION_PACKAGE}.gitMajor=1 -X {_K8S_VERSION_PACKAGE}.gitMinor={_K8S_MINOR}"
)

KUBERNETES: Final = ProgramSource(
    name="kubernetes",
    version=KUBERNETES_VERSION,
    tools=(
        *(Tool(name, ("--version",), **_SAME_MINOR) for name in _K8S_COMPONENTS),
        # kubectl may be one minor version older or newer.
        Tool("kubectl", ("version", "--client"), (1, int(_K8S_MINOR) - 1), (1, int(_K8S_MINOR) + 2)),
    ),
    archive=_K8S_ARCHIVE,
    packages=tuple(f"k8s.io/kubernetes/cmd/{name}" for name in (*_K8S_COMPONENTS, "kubectl")),
    linker_flags=_K8S_LINKER_FLAGS,
    usual_build_s=400,
    packages_in_all=2500,
)

_K8S_NODE = ("kubelet", "kube-proxy")

# Apart from the control plane's: only the tests on a real node need them.
KUBERNETES_NODE: Final = ProgramSource(
    name="kubernetes-node",
    version=KUBERNETES_VERSION,
    tools=tuple(Tool(name, ("--version",), **_SAME_MINOR) for name in _K8S_NODE),
    archive=_K8S_ARCHIVE,
    packages=tuple(f"k8s.io/kubernetes/cmd/{name}" for name in _K8S_NODE),
    linker_flags=_K8S_LINKER_FLAGS,
    usual_build_s=180,
    packages_in_all=2500,
    module="kubernetes",
)

ETCD: Final = ProgramSource(
    name="etcd",
    version=ETCD_VERSION,
    tools=(Tool("etcd", ("--version",), (3, 5, 21), (3, 7)),),
    archive=Archive(
        url=f"https://github.com/etcd-io/etcd/releases/download/v{ETCD_VERSION}/etcd-v{ETCD_VERSION}-linux-{ARCHITECTURE}.tar.gz",
        checksum_url=f"https://github.com/etcd-io/etcd/releases/download/v{ETCD_VERSION}/SHA256SUMS",
        member=f"etcd-v{ETCD_VERSION}-linux-{ARCHITECTURE}/etcd",
    ),
    packages=(".",),
    linker_flags="",
    usual_build_s=120,
    packages_in_all=550,
)

HELM: Final = ProgramSource(
    name="helm",
    version=HELM_VERSION,
    tools=(Tool("helm", ("version", "--short"), (3, 14), (4,)),),
    archive=Archive(
        url=f"https://get.helm.sh/helm-v{HELM_VERSION}-linux-{ARCHITECTURE}.tar.gz",
        checksum_url=f"https://get.helm.sh/helm-v{HELM_VERSION}-linux-{ARCHITECTURE}.tar.gz.sha256sum",
        member=f"linux-{ARCHITECTURE}/helm",
    ),
    packages=("helm.sh/helm/v3/cmd/helm",),
    linker_flags=f"-X helm.sh/helm/v3/internal/version.version=v{HELM_VERSION}",
    usual_build_s=200,
    packages_in_all=950,
)

SOURCES: Final = (KUBERNETES, ETCD, HELM)
