"""What decides how a real node is set up for the e2e tests."""

import dataclasses
import itertools
from ipaddress import IPv4Network
from pathlib import Path

import pytest
from tests.node import __main__ as command
from tests.node.harness import configs
from tests.node.harness.images import IMAGES, REPOSITORY, default_python_image
from tests.node.harness.needs import CNI_FOLDERS, Machine, cni_folder, missing
from tests.node.harness.ranges import cut_ipv4, cut_ipv6, free_block

from lorapool_local.binaries.build import go_problem
from lorapool_local.binaries.tools import KUBERNETES, KUBERNETES_NODE, SOURCES

ABLE = Machine(
    is_root=lambda: True,
    which=lambda name: f"/usr/bin/{name}",
    exists=lambda _: True,
    free_bytes=lambda _: 2**40,
    namespaces_problem=lambda: None,
)


def test_a_machine_that_has_everything_lacks_nothing(tmp_path: Path) -> None:
    assert missing(tmp_path, ABLE) is None


@pytest.mark.parametrize(
    ("lack", "words"),
    [
        ({"is_root": lambda: False}, "root"),
        (
            {"which": lambda name: None if name in ("runc", "ctr", "containerd") else name},
            "apt-get install containerd runc",
        ),
        ({"exists": lambda _: False}, "apt-get install containernetworking-plugins"),
        ({"namespaces_problem": lambda: "unshare: Operation not permitted"}, "Operation not permitted"),
        ({"free_bytes": lambda _: 2**30}, "6 GiB"),
    ],
)
def test_what_a_machine_lacks_is_said_with_what_to_do(tmp_path: Path, lack: dict[str, object], words: str) -> None:
    assert words in str(missing(tmp_path, dataclasses.replace(ABLE, **lack)))  # type: ignore[arg-type]


@pytest.mark.parametrize(("in_ci", "status"), [("", 0), ("true", 1)])
def test_tests_that_cannot_run_are_skipped_and_fail_in_ci(
    in_ci: str, status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LORAPOOL_CACHE", str(tmp_path))
    monkeypatch.setenv("CI", in_ci)
    monkeypatch.setattr(command, "missing", lambda _: "there is no runc")
    with pytest.raises(SystemExit) as ended:
        command.main()
    assert ended.value.code == status
    assert "skipped: there is no runc" in capsys.readouterr().out


def test_network_plugins_are_found_where_any_of_the_usual_packages_puts_them() -> None:
    assert cni_folder(dataclasses.replace(ABLE, exists=CNI_FOLDERS[1].__eq__)) is None
    second = dataclasses.replace(ABLE, exists=lambda path: path.parent == CNI_FOLDERS[1])
    assert cni_folder(second) == CNI_FOLDERS[1]


def test_a_node_takes_no_address_that_the_machine_has_a_route_for() -> None:
    taken = [IPv4Network("10.0.0.0/9"), IPv4Network("10.128.0.0/10")]
    numbers = itertools.count(0, 97)
    blocks = {free_block(taken, lambda n: next(numbers) % n) for _ in range(200)}
    assert len(blocks) > 100
    assert all(block.subnet_of(IPv4Network("10.192.0.0/10")) for block in blocks)
    with pytest.raises(LookupError):
        free_block([IPv4Network("10.0.0.0/8")], lambda _: 0)


def test_the_ranges_of_a_node_do_not_overlap() -> None:
    for ranges in (cut_ipv4(IPv4Network("10.1.4.0/22")), cut_ipv6(0x1234567890)):
        parts = [ranges.link, ranges.pods, ranges.services]
        assert not any(a.overlaps(b) for a in parts for b in parts if a is not b)
        assert all(part.is_private for part in parts)
        assert ranges.host in ranges.link
        assert ranges.node in ranges.link


def test_pods_and_services_have_an_address_of_each_family() -> None:
    families = (cut_ipv4(IPv4Network("10.1.4.0/22")), cut_ipv6(0x1234567890))
    assert str(families[1].pods) == "fd12:3456:7890:1::/64"
    ipam = configs.network_plugins(families)["plugins"][0]["ipam"]
    assert ipam["ranges"] == [[{"subnet": "10.1.5.0/24"}], [{"subnet": "fd12:3456:7890:1::/64"}]]
    proxy = configs.kube_proxy(Path("kubeconfig"), families, "node")
    assert proxy["clusterCIDR"] == "10.1.5.0/24,fd12:3456:7890:1::/64"


def test_the_base_image_is_the_one_that_the_dockerfiles_name() -> None:
    assert default_python_image("ARG PYTHON_IMAGE=python:3-slim\n") == "docker.io/library/python:3-slim"
    assert default_python_image("ARG PYTHON_IMAGE=mirror.test/python:3\n") == "mirror.test/python:3"
    assert len({default_python_image((REPOSITORY / image.dockerfile).read_text()) for image in IMAGES}) == 1


def test_kubelet_and_kube_proxy_are_of_the_control_planes_version_and_no_part_of_it() -> None:
    assert KUBERNETES_NODE not in SOURCES
    assert KUBERNETES_NODE.version == KUBERNETES.version
    assert KUBERNETES_NODE.folder != KUBERNETES.folder
    assert go_problem(KUBERNETES_NODE) == go_problem(KUBERNETES)  # one module of Go holds both
