"""The configuration files of containerd, its network plugins, kubelet and kube-proxy: pure functions."""

from pathlib import Path
from typing import Any, Final

from tests.node.harness.ranges import Families, joined

from lorapool_local.pki import KeyPair

Config = dict[str, Any]
CONTAINERD_SOCKET: Final = "/run/containerd/containerd.sock"
PAUSE_IMAGE: Final = "lorapool.test/pause:e2e"


def containerd(cni_programs: Path, cni_configs: Path, runc: str) -> str:
    """config.toml of containerd 1.6 and newer."""
    return f"""\
version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  # A container that runs this in turn may not lower its own score.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{cni_programs}"
    conf_dir = "{cni_configs}"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      BinaryName = "{runc}"
"""


def network_plugins(families: Families) -> Config:
    """Each pod has a cable of its own to the node, which routes: no bridge, so no kernel module for its filters."""
    return {
        "cniVersion": "0.4.0",
        "name": "lorapool",
        "plugins": [
            {
                "type": "ptp",
                "ipMasq": False,
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{"subnet": str(ranges.pods)}] for ranges in families],
                    "routes": [{"dst": ranges.everywhere} for ranges in families],
                },
            }
        ],
    }


def kubelet(authority: Path, serving: KeyPair, cgroup_root: str) -> Config:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(authority)},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(serving.certificate),
        "tlsPrivateKeyFile": str(serving.key),
        "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": cgroup_root,
        "failCgroupV1": False,
        "failSwapOn": False,
        # There is no DNS in the cluster, and none outside is asked.
        "resolvConf": "",
        # The machine's disk may be full for reasons of its own, and the images are nowhere else.
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "imageGCHighThresholdPercent": 100,
        "registerWithTaints": [],
    }


def kube_proxy(kubeconfig: Path, families: Families, node_name: str) -> Config:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": str(kubeconfig)},
        "clusterCIDR": joined(ranges.pods for ranges in families),
        "hostnameOverride": node_name,
        "mode": "iptables",
        # These limits are the machine's, not the node's.
        "conntrack": {"maxPerCore": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
    }
