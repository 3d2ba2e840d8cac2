"""From a pod to its sandbox: images, addresses, volumes without namespaces."""

import sysconfig
from pathlib import Path

import pytest

from lorapool_local.loopback import PodAddresses, claim_subnet, free_ports
from lorapool_local.node.containers.launch import POD_ROOT_ENV, container_spec, uncovered
from lorapool_local.node.containers.process import ContainerSpec, Mode
from lorapool_local.node.spec.container import Container
from lorapool_local.node.spec.images import Images
from lorapool_local.node.spec.pod import Pod
from lorapool_local.sandbox.rootfs import Mount


@pytest.mark.parametrize(
    "image",
    [
        "lorapool-runtime",
        "ghcr.io/x/lorapool-operator:0.1.0",
        "localhost:5000/lorapool-runtime",
        "r.example:443/a/b/lorapool-operator:t@sha256:00",
    ],
)
def test_own_images_run_whatever_their_registry_and_tag(image: str) -> None:
    command = Images().command(image)

    assert command is not None
    assert command[1:] == ["-m", "lorapool_common.cli"]


@pytest.mark.parametrize("image", ["nginx", "x/lorapool-runtime-extra:1", "lorapool-runtime/other", ""])
def test_other_images_do_not_run(image: str) -> None:
    assert Images().command(image) is None


def test_named_images_run_as_named() -> None:
    assert Images({"test/x": ["sh", "-c"]}).command("test/x") == ["sh", "-c"]


def spec(mode: Mode, folder: Path, mounts: list[Mount], **security: object) -> ContainerSpec:
    container = Container.model_validate({"name": "main", "securityContext": security})
    pod = Pod.model_validate(
        {"metadata": {"name": "p", "namespace": "n", "uid": "u"}, "spec": {"containers": [container]}}
    )
    return container_spec(
        pod,
        container,
        mode=mode,
        argv=["run", "--file=/x", "/models/base/weights"],
        env={"CACHE": "/var/cache/own", "OTHER": "/var/cache/own-not", "PATH": "/bin"},
        mounts=mounts,
        pod_dir=folder / "pod",
        state_dir=folder,
    )


def test_restrictions_are_passed_on(tmp_path: Path) -> None:
    plain = spec(Mode.ROOT, tmp_path, [])
    strict = spec(
        Mode.ROOT,
        tmp_path,
        [],
        readOnlyRootFilesystem=True,
        allowPrivilegeEscalation=False,
        capabilities={"drop": ["ALL"]},
    )

    assert (plain.writable_tmp, plain.drop_capabilities, plain.no_new_privileges) == (True, False, False)
    assert (strict.writable_tmp, strict.drop_capabilities, strict.no_new_privileges) == (False, True, True)


def test_a_pod_does_not_see_the_keys_of_its_plane(tmp_path: Path) -> None:
    assert str(tmp_path) in spec(Mode.ROOT, tmp_path, []).opaque


def test_only_installed_libraries_may_be_compiled_in_place(tmp_path: Path) -> None:
    writable = {mount.target for mount in spec(Mode.ROOT, tmp_path, []).mounts if not mount.read_only}

    assert writable == {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}


def test_without_namespaces_paths_lead_into_the_pods_folder(tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    mounts = [Mount(str(volume), "/models/base", True), Mount(str(volume), "/var/cache/own", False)]

    for _ in range(2):  # a container that starts again finds its links
        moved = spec(Mode.FOLDERS, tmp_path, mounts)

    root = moved.env[POD_ROOT_ENV]
    assert moved.argv == ["run", "--file=/x", f"{root}/models/base/weights"]
    assert (moved.env["CACHE"], moved.env["OTHER"]) == (f"{root}/var/cache/own", "/var/cache/own-not")
    assert Path(root, "models/base").resolve() == volume
    assert moved.mounts == []


def test_a_subnet_belongs_to_one_plane() -> None:
    first = claim_subnet()
    second = claim_subnet(first.index)
    assert second.index != first.index

    first.release()
    third = claim_subnet(first.index)
    assert third.index == first.index
    for subnet in (second, third):
        subnet.release()


def test_ports_are_free_and_different() -> None:
    assert len(set(free_ports("127.0.0.1", 5))) == 5


def test_an_address_comes_back_only_after_all_others() -> None:
    addresses = PodAddresses(9)
    first = addresses.take()
    addresses.give_back(first)

    assert first == "127.9.1.1"
    assert addresses.take() == "127.9.1.2"
    taken = {addresses.take() for _ in range(300)}
    assert len(taken) == 300
    assert "127.9.1.2" not in taken


def test_an_address_of_before_is_taken_again_if_it_can_be() -> None:
    addresses = PodAddresses(9)

    assert addresses.take("127.9.3.3") == "127.9.3.3"
    assert addresses.take("127.9.3.3") == "127.9.1.1"
    assert addresses.take("127.8.3.3") == "127.9.1.2"


def test_a_volume_over_the_checkout_does_not_hide_the_programs() -> None:
    volumes = [Mount("/pods/scratch", "/scratch", read_only=False), Mount("/pods/data", "/data", read_only=False)]
    shown = Mount("/scratch/clone", "/scratch/clone", read_only=True)
    assert uncovered(["/scratch/clone", "/usr/lib/python"], volumes) == [shown]
