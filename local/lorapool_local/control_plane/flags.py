"""The command line of each component: pure functions of where things are."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lorapool_local.pki import KeyPair

Flags = dict[str, str]

# Endpoints and EndpointSlices refuse loopback addresses, and the pods of an embedded node have no others.
_NO_ENDPOINTS = "*,-endpoints-controller,-endpointslice-controller,-endpointslice-mirroring-controller"


@dataclass(frozen=True)
class Ports:
    """Where each component listens, on the plane's address."""

    etcd: int
    etcd_peer: int
    apiserver: int
    controller_manager: int
    scheduler: int


@dataclass(frozen=True)
class PlaneNetwork:
    """Where the components listen, and what the cluster's own addresses are."""

    host: str
    services: str
    """The range of cluster IPs, as 10.0.0.0/24; with a comma another of the other family."""
    endpoints: bool = False
    """Whether pods and the apiserver have addresses that Endpoints take: any but loopback ones."""


@dataclass(frozen=True)
class Credentials:
    """Files that the components read."""

    authority: Path
    service_account_key: Path
    tokens: Path
    etcd: KeyPair
    apiserver: KeyPair
    etcd_client: KeyPair
    kubelet_client: KeyPair
    controller_manager: KeyPair
    scheduler: KeyPair
    controller_manager_kubeconfig: Path
    scheduler_kubeconfig: Path


def etcd(host: str, ports: Ports, files: Credentials, data: Path) -> Flags:
    client, peer = f"https://{host}:{ports.etcd}", f"https://{host}:{ports.etcd_peer}"
    return {
        "name": "lorapool",
        "data-dir": str(data),
        "listen-client-urls": client,
        "advertise-client-urls": client,
        "listen-peer-urls": peer,
        "initial-advertise-peer-urls": peer,
        "initial-cluster": f"lorapool={peer}",
        "client-cert-auth": "true",
        "trusted-ca-file": str(files.authority),
        "cert-file": str(files.etcd.certificate),
        "key-file": str(files.etcd.key),
        "peer-client-cert-auth": "true",
        "peer-trusted-ca-file": str(files.authority),
        "peer-cert-file": str(files.etcd.certificate),
        "peer-key-file": str(files.etcd.key),
        # A crash of the machine may lose the last writes; a crash of the plane does not.
        "unsafe-no-fsync": "true",
        "log-level": "warn",
    }


def apiserver(network: PlaneNetwork, ports: Ports, files: Credentials) -> Flags:
    host = network.host
    return {
        "etcd-servers": f"https://{host}:{ports.etcd}",
        "etcd-cafile": str(files.authority),
        "etcd-certfile": str(files.etcd_client.certificate),
        "etcd-keyfile": str(files.etcd_client.key),
        "bind-address": host,
        "advertise-address": host,
        "secure-port": str(ports.apiserver),
        "tls-cert-file": str(files.apiserver.certificate),
        "tls-private-key-file": str(files.apiserver.key),
        "client-ca-file": str(files.authority),
        "token-auth-file": str(files.tokens),
        "anonymous-auth": "false",
        "authorization-mode": "Node,RBAC",
        "enable-admission-plugins": "NodeRestriction",
        "service-account-issuer": "https://kubernetes.default.svc.cluster.local",
        "service-account-key-file": str(files.service_account_key),
        "service-account-signing-key-file": str(files.service_account_key),
        "service-cluster-ip-range": network.services,
        "endpoint-reconciler-type": "lease" if network.endpoints else "none",
        "kubelet-client-certificate": str(files.kubelet_client.certificate),
        "kubelet-client-key": str(files.kubelet_client.key),
        "kubelet-certificate-authority": str(files.authority),
        "kubelet-preferred-address-types": "InternalIP",
        "profiling": "false",
    }


def controller_manager(network: PlaneNetwork, ports: Ports, files: Credentials) -> Flags:
    kubeconfig = str(files.controller_manager_kubeconfig)
    return {
        **_component(network.host, ports.controller_manager, files.controller_manager, kubeconfig, files.authority),
        "controllers": "*" if network.endpoints else _NO_ENDPOINTS,
        "use-service-account-credentials": "true",
        "service-account-private-key-file": str(files.service_account_key),
        "root-ca-file": str(files.authority),
        "kube-api-qps": "200",
        "kube-api-burst": "400",
    }


def scheduler(host: str, ports: Ports, files: Credentials) -> Flags:
    kubeconfig = str(files.scheduler_kubeconfig)
    return {
        **_component(host, ports.scheduler, files.scheduler, kubeconfig, files.authority),
        "kube-api-qps": "200",
        "kube-api-burst": "400",
    }


def command(program: Path, flags: Mapping[str, str], extra: list[str]) -> list[str]:
    return [str(program), *(f"--{name}={value}" for name, value in flags.items()), *extra]


def _component(host: str, port: int, pair: KeyPair, kubeconfig: str, authority: Path) -> Flags:
    return {
        "kubeconfig": kubeconfig,
        "authentication-kubeconfig": kubeconfig,
        "authorization-kubeconfig": kubeconfig,
        "client-ca-file": str(authority),
        # Who may read the request headers of a front proxy: there is none.
        "authentication-tolerate-lookup-failure": "true",
        "bind-address": host,
        "secure-port": str(port),
        "tls-cert-file": str(pair.certificate),
        "tls-private-key-file": str(pair.key),
        "leader-elect": "false",
        "profiling": "false",
    }
