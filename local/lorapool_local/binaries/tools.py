"""Which programs a plane needs, in which versions, and where they come from."""

import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from lorapool_local.errors import BinariesUnavailable

KUBERNETES_VERSION: Final = "1.34.1"
# What a plane can be of, by minor version: the newest that the chart is for, and the oldest.
KUBERNETES_VERSIONS: Final = {"1.34": KUBERNETES_VERSION, "1.29": "1.29.15"}
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


_K8S_VERSION_PACKAGE = "k8s.io/component-base/version"
_K8S_COMPONENTS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
_K8S_NODE = ("kubelet", "kube-proxy")


def kubernetes(version: str) -> ProgramSource:
    """The control plane's own programs and kubectl, of one of `KUBERNETES_VERSIONS`."""
    minor = _minor(version)
    # kubectl may be one minor version older or newer.
    kubectl = Tool("kubectl", ("version", "--client"), (1, minor - 1), (1, minor + 2))
    return ProgramSource(
        name="kubernetes",
        version=version,
        tools=(*_of_minor(minor, _K8S_COMPONENTS), kubectl),
        archive=_k8s_archive(version),
        packages=tuple(f"k8s.io/kubernetes/cmd/{name}" for name in (*_K8S_COMPONENTS, "kubectl")),
        linker_flags=_k8s_linker_flags(version),
        usual_build_s=400,
        packages_in_all=2500,
        module=_k8s_module(version),
    )


def _of_minor(minor: int, names: tuple[str, ...]) -> tuple[Tool, ...]:
    """Controller manager and scheduler must not be newer than the apiserver: all of one minor version."""
    return tuple(Tool(name, ("--version",), (1, minor), (1, minor + 1)) for name in names)


def _minor(version: str) -> int:
    return int(version.split(".")[1])


def _k8s_module(version: str) -> str:
    return "kubernetes" if version == KUBERNETES_VERSION else f"kubernetes-1.{_minor(version)}"


def _k8s_archive(version: str) -> Archive:
    program = f"https://dl.k8s.io/release/v{version}/bin/linux/{ARCHITECTURE}/{{tool}}"
    return Archive(url=program, checksum_url=f"{program}.sha256", member=None)


def _k8s_linker_flags(version: str) -> str:
    return (
        f"-X {_K8S_VERSION_PACKAGE}.gitVersion=v{version} "
        f"-X {_K8S_VERSION_PACKAGE}.gitMajor=1 -X {_K8S_VERSION_PACKAGE}.gitMinor={_minor(version)}"
    )


KUBERNETES: Final = kubernetes(KUBERNETES_VERSION)

# Apart from the control plane's: only the tests on a real node need them.
KUBERNETES_NODE: Final = ProgramSource(
    name="kubernetes-node",
    version=KUBERNETES_VERSION,
    tools=_of_minor(_minor(KUBERNETES_VERSION), _K8S_NODE),
    archive=_k8s_archive(KUBERNETES_VERSION),
    packages=tuple(f"k8s.io/kubernetes/cmd/{name}" for name in _K8S_NODE),
    linker_flags=_k8s_linker_flags(KUBERNETES_VERSION),
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


def sources(minor: str) -> tuple[ProgramSource, ...]:
    """The same with another minor version of Kubernetes. Raises: BinariesUnavailable for one that there is not."""
    if minor not in KUBERNETES_VERSIONS:
        known = ", ".join(sorted(KUBERNETES_VERSIONS))
        raise BinariesUnavailable(f"a plane of Kubernetes {minor!r} cannot be had; of {known} it can")
    return (kubernetes(KUBERNETES_VERSIONS[minor]), ETCD, HELM)
