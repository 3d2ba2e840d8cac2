"""Every key, certificate, token and kubeconfig of one plane, written for one start."""

import ipaddress
from dataclasses import dataclass
from pathlib import Path

from lorapool_common.files import write_atomically
from lorapool_local.control_plane import kubeconfig
from lorapool_local.control_plane.flags import Credentials, PlaneNetwork
from lorapool_local.paths import StateDir
from lorapool_local.pki import (
    Authority,
    KeyPair,
    load_or_create_authority,
    load_or_create_signing_key,
    load_or_create_token,
)


@dataclass(frozen=True)
class PlaneCredentials:
    """Files of the components, and those of the node and of the person who uses the plane."""

    components: Credentials
    node: KeyPair
    admin_token: str

    @property
    def authority(self) -> Path:
        return self.components.authority


def write_credentials(
    state: StateDir, network: PlaneNetwork, server: str, node_name: str, node_address: str | None = None
) -> PlaneCredentials:
    """Write what each part authenticates with. `node_address`: the kubelet's, where it has one of its own."""
    folder = state.secrets
    authority = load_or_create_authority(folder)
    token = load_or_create_token(folder, "admin")
    kubeconfig.write(state.kubeconfig, kubeconfig.with_token(server, authority.certificate_file, token))
    node = authority.issue("node", f"system:node:{node_name}", ["system:nodes"], [node_address or network.host])
    return PlaneCredentials(_components(folder, authority, network, server, token), node, token)


def _components(
    folder: Path, authority: Authority, network: PlaneNetwork, server: str, admin_token: str
) -> Credentials:
    host = network.host
    tokens = folder / "tokens.csv"
    write_atomically(tokens, f'{admin_token},lorapool-admin,lorapool-admin,"system:masters"\n')
    manager = authority.issue("controller-manager", "system:kube-controller-manager", addresses=[host])
    scheduler = authority.issue("scheduler", "system:kube-scheduler", addresses=[host])
    return Credentials(
        authority=authority.certificate_file,
        service_account_key=load_or_create_signing_key(folder),
        tokens=tokens,
        etcd=authority.issue("etcd", "etcd", addresses=[host]),
        etcd_client=authority.issue("etcd-client", "kube-apiserver"),
        apiserver=authority.issue("apiserver", "kube-apiserver", addresses=_apiserver_addresses(network)),
        # The node's own API is for the apiserver alone: see node/kubelet_api.py.
        kubelet_client=authority.issue("kubelet-client", "kube-apiserver-kubelet-client"),
        controller_manager=manager,
        scheduler=scheduler,
        controller_manager_kubeconfig=_component_kubeconfig(folder, authority, server, "controller-manager", manager),
        scheduler_kubeconfig=_component_kubeconfig(folder, authority, server, "scheduler", scheduler),
    )


def _apiserver_addresses(network: PlaneNetwork) -> list[str]:
    """Its own, and those of the Service `kubernetes`: it has the first cluster IP of each family."""
    first = [str(ipaddress.ip_network(services)[1]) for services in network.services.split(",")]
    return [network.host, *first, "kubernetes", "kubernetes.default", "kubernetes.default.svc"]


def _component_kubeconfig(folder: Path, authority: Authority, server: str, name: str, pair: KeyPair) -> Path:
    content = kubeconfig.with_certificate(server, authority.certificate_file, pair)
    return kubeconfig.write(folder / f"{name}.kubeconfig", content)
