"""Finding, downloading and building the programs of the control plane."""

import hashlib
import io
import tarfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from rich.console import Console

from lorapool_local.binaries.acquire import Acquisition, ensure_binaries
from lorapool_local.binaries.build import build, needed_go
from lorapool_local.binaries.download import OnBytes, download, expected_checksum, reachable_hosts
from lorapool_local.binaries.durations import Durations, spoken
from lorapool_local.binaries.find import find, is_acceptable, parse_version
from lorapool_local.binaries.tools import ETCD, HELM, KUBERNETES, SOURCES, Archive, ProgramSource, Tool
from lorapool_local.errors import BinariesUnavailable

APISERVER, *_, KUBECTL = KUBERNETES.tools


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ("Kubernetes v1.34.1\n", (1, 34, 1)),
        ("Client Version: v1.32.4-dispatcher\nKustomize Version: v5.5.0\n", (1, 32, 4)),
        ("etcd Version: 3.6.5\nGit SHA: Not provided\n", (3, 6, 5)),
        ("v3.19.0+g3d8990f", (3, 19, 0)),
        ("command not found", None),
    ],
)
def test_what_a_program_says_of_itself(said: str, version: tuple[int, ...] | None) -> None:
    assert parse_version(said) == version


@pytest.mark.parametrize(
    ("tool", "version", "will_do"),
    [
        (APISERVER, (1, 34, 9), True),
        (APISERVER, (1, 35, 0), False),
        (KUBECTL, (1, 33, 0), True),
        (KUBECTL, (1, 35, 2), True),
        (KUBECTL, (1, 32, 4), False),
        (ETCD.tools[0], (3, 4, 30), False),
        (HELM.tools[0], (4, 0, 0), False),
        (HELM.tools[0], None, False),
    ],
)
def test_a_program_is_used_only_within_the_supported_skew(
    tool: Tool, version: tuple[int, ...] | None, will_do: bool
) -> None:
    assert is_acceptable(tool, version) is will_do


def program(folder: Path, name: str, says: str) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)
    return path


def test_assets_come_before_the_path(tmp_path: Path) -> None:
    asset = program(tmp_path / "assets", "etcd", "etcd Version: 3.6.1")
    on_path = program(tmp_path / "bin", "etcd", "etcd Version: 3.6.1")
    environment = {"PATH": str(tmp_path / "bin")}

    assert find(ETCD.tools[0], environment) == on_path
    assert find(ETCD.tools[0], environment | {"KUBEBUILDER_ASSETS": str(asset.parent)}) == asset


def test_an_old_program_is_passed_over(tmp_path: Path) -> None:
    program(tmp_path / "bin", "kubectl", "Client Version: v1.20.0")

    assert find(KUBECTL, {"PATH": str(tmp_path / "bin")}) is None


def test_a_program_that_fails_is_passed_over(tmp_path: Path) -> None:
    path = program(tmp_path / "bin", "etcd", "")
    path.write_text("#!/bin/sh\nexit 1\n")

    assert find(ETCD.tools[0], {"PATH": str(tmp_path / "bin")}) is None


@pytest.mark.parametrize(
    ("listing", "expected"),
    [
        ("ABCDEF\n", "abcdef"),
        ("111  other.tar.gz\n222  file.tar.gz\n", "222"),
        ("333 *file.tar.gz\n", "333"),
        ("", None),
    ],
)
def test_a_checksum_is_found_in_its_listing(listing: str, expected: str | None) -> None:
    assert expected_checksum(listing, "file.tar.gz") == expected


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder, and the address that serves it."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder)) as http:
        thread = threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield folder, f"http://127.0.0.1:{http.server_port}"
        http.shutdown()
        thread.join()


def source(address: str, member: str | None = None) -> ProgramSource:
    archive = Archive(f"{address}/{{tool}}.file", f"{address}/{{tool}}.file.sha256", member)
    tool = Tool("my-tool", ("--version",), (1,), (2,))
    return replace(ETCD, name="mine", version="1", tools=(tool,), archive=archive)


def serve(folder: Path, content: bytes, checksum: str | None = None) -> None:
    (folder / "my-tool.file").write_bytes(content)
    (folder / "my-tool.file.sha256").write_text(checksum or hashlib.sha256(content).hexdigest())


def fetch(wanted: ProgramSource, folder: Path) -> None:
    download(wanted, folder, lambda _: lambda *_: None)


def test_a_download_is_verified_and_executable(server: tuple[Path, str], tmp_path: Path) -> None:
    folder, address = server
    serve(folder, b"program")

    fetch(source(address), tmp_path)

    assert (tmp_path / "my-tool").read_bytes() == b"program"
    assert (tmp_path / "my-tool").stat().st_mode & 0o111


def test_a_program_is_taken_out_of_its_archive(server: tuple[Path, str], tmp_path: Path) -> None:
    folder, address = server
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        info = tarfile.TarInfo("linux/my-tool")
        info.size = 7
        tar.addfile(info, io.BytesIO(b"program"))
    serve(folder, packed.getvalue())

    fetch(source(address, "linux/my-tool"), tmp_path)

    assert (tmp_path / "my-tool").read_bytes() == b"program"


def test_a_download_with_another_checksum_is_refused(server: tuple[Path, str], tmp_path: Path) -> None:
    folder, address = server
    serve(folder, b"tampered", checksum="0" * 64)

    with pytest.raises(BinariesUnavailable, match="has sha256"):
        fetch(source(address), tmp_path)
    assert not (tmp_path / "my-tool").exists()


def test_a_host_that_answers_is_reachable(server: tuple[Path, str]) -> None:
    dead = source("http://127.0.0.1:9")

    assert reachable_hosts([source(server[1])]) == {"127.0.0.1"}
    assert reachable_hosts([dead]) == set()


def test_the_needed_go_is_in_the_module() -> None:
    assert needed_go("module x\n\ngo 1.24.0\n") == (1, 24, 0)


def test_a_failed_build_shows_what_go_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go = program(tmp_path / "bin", "go", "")
    go.write_text("#!/bin/sh\necho 'missing go.sum entry' >&2\nexit 1\n")
    monkeypatch.setenv("PATH", f"{go.parent}:/usr/bin:/bin")

    with pytest.raises(BinariesUnavailable, match=r"missing go\.sum entry"):
        build(ETCD, tmp_path, lambda *_: None)


def offline(cache: Path) -> Acquisition:
    """Finds no host that answers."""
    return Acquisition(Console(quiet=True), cache, may_build=True, reachable_hosts=lambda _: set())


def test_builds_run_side_by_side_and_end_with_the_first_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # helm's build waits for etcd's to have begun, and would then never end by itself.
    go = program(tmp_path / "bin", "go", "")
    met = tmp_path / "met"
    go.write_text(
        "#!/bin/sh\n"
        f"[ $1 = env ] && echo go1.999 && exit\n"
        f"case $PWD in */etcd) until [ -e {met} ]; do :; done; echo no disk >&2; exit 1;; esac\n"
        f"touch {met}; exec tail -f /dev/null\n"
    )
    monkeypatch.setenv("PATH", f"{go.parent}:/usr/bin:/bin")

    with pytest.raises(BinariesUnavailable, match="no disk"):
        offline(tmp_path / "cache").fetch([HELM, ETCD])

    assert not list((tmp_path / "cache" / "bin").rglob(".new-*"))


def test_without_internet_and_go_the_missing_programs_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")

    with pytest.raises(BinariesUnavailable, match=r"kube-apiserver.*no answer from dl\.k8s\.io; there is no Go"):
        offline(tmp_path).fetch(list(SOURCES))


def test_cached_programs_are_used_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LORAPOOL_CACHE", str(tmp_path))
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    for each in (KUBERNETES, ETCD, HELM):
        for tool in each.tools:
            folder = tmp_path / "bin" / each.folder
            folder.mkdir(parents=True, exist_ok=True)
            program(folder, tool.name, "")

    found = ensure_binaries(Console(quiet=True))

    assert found.helm == tmp_path / "bin" / HELM.folder / "helm"


def test_two_processes_download_once(server: tuple[Path, str], tmp_path: Path) -> None:
    folder, address = server
    serve(folder, b"#!/bin/sh\n")
    downloads: list[Path] = []

    def counted(wanted: ProgramSource, into: Path, on_bytes: Callable[[str], OnBytes]) -> None:
        downloads.append(into)
        download(wanted, into, on_bytes)

    def get() -> None:
        acquisition = Acquisition(Console(quiet=True), tmp_path / "cache", may_build=False, download=counted)
        acquisition.fetch([source(address)])

    threads = [threading.Thread(target=get) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(downloads) == 1
    assert [path.name for path in (tmp_path / "cache" / "bin" / "mine-1").iterdir()] == ["my-tool"]


def test_durations_are_remembered(tmp_path: Path) -> None:
    Durations(tmp_path / "d.json").remember("build etcd", 61.23)

    assert Durations(tmp_path / "d.json").last("build etcd") == 61.2
    assert Durations(tmp_path / "d.json").last("build helm") is None


def test_a_broken_memory_is_no_memory(tmp_path: Path) -> None:
    (tmp_path / "d.json").write_text("{")

    assert Durations(tmp_path / "d.json").last("build etcd") is None


@pytest.mark.parametrize(("seconds", "text"), [(4.4, "4 s"), (59.6, "1 min 0 s"), (250, "4 min 10 s")])
def test_durations_are_spoken(seconds: float, text: str) -> None:
    assert spoken(seconds) == text
