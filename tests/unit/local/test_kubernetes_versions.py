"""A plane of another Kubernetes: which programs it takes, and from where."""

from pathlib import Path

import pytest
from rich.console import Console

from lorapool_local.binaries import build
from lorapool_local.binaries.acquire import KUBERNETES_ENV, ensure_binaries
from lorapool_local.binaries.find import is_acceptable
from lorapool_local.binaries.tools import ETCD, HELM, KUBERNETES, KUBERNETES_VERSIONS, sources
from lorapool_local.errors import BinariesUnavailable

GO = Path(build.__file__).parent / "go"


@pytest.mark.parametrize(("minor", "version"), KUBERNETES_VERSIONS.items())
def test_each_has_a_module_of_its_own_that_pins_it(minor: str, version: str) -> None:
    kubernetes = sources(minor)[0]
    module = (GO / kubernetes.module / "go.mod").read_text()
    assert f"require k8s.io/kubernetes v{version}\n" in module
    assert f"k8s.io/apiserver => k8s.io/apiserver v0.{version.removeprefix('1.')}\n" in module
    assert f"gitVersion=v{version}" in kubernetes.linker_flags
    assert f"/v{version}/" in kubernetes.archive.url
    assert kubernetes.folder == f"kubernetes-{version}"


def test_programs_of_another_minor_version_on_the_machine_are_not_taken_for_it() -> None:
    apiserver, *_, kubectl = sources("1.29")[0].tools
    assert is_acceptable(apiserver, (1, 29, 3))
    assert not is_acceptable(apiserver, (1, 34, 1))
    assert is_acceptable(kubectl, (1, 30, 0))
    assert not is_acceptable(kubectl, (1, 34, 1))


def test_one_that_there_is_not_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(BinariesUnavailable, match=r"'1\.28' cannot be had; of 1\.29, 1\.34"):
        sources("1.28")


def test_the_environment_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LORAPOOL_CACHE", str(tmp_path))
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    for source in (sources("1.29")[0], KUBERNETES, ETCD, HELM):
        for tool in source.tools:
            file = tmp_path / "bin" / source.folder / tool.name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch(0o755)
    older = ensure_binaries(Console(quiet=True), environment={KUBERNETES_ENV: "1.29"})
    newest = ensure_binaries(Console(quiet=True), environment={})
    assert older.apiserver.parent.name == f"kubernetes-{KUBERNETES_VERSIONS['1.29']}"
    assert newest.apiserver.parent.name == KUBERNETES.folder
    assert older.etcd == newest.etcd
