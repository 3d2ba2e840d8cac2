"""Get each program by the quickest way that works on this machine."""

from rich.console import Console

from lorapool_local.binaries.tools import Binaries, ETCD_VERSION, HELM_VERSION, KUBERNETES_VERSION
from lorapool_local.paths import cache_dir


def ensure_binaries(console: Console) -> Binaries:
    c = cache_dir() / "bin"
    k = c / f"kubernetes-{KUBERNETES_VERSION}"
    return Binaries(
        c / f"etcd-{ETCD_VERSION}" / "etcd",
        k / "kube-apiserver",
        k / "kube-controller-manager",
        k / "kube-scheduler",
        k / "kubectl",
        c / f"helm-{HELM_VERSION}" / "helm",
    )
