"""Get each program by the quickest way that works here: found, cached, downloaded, built."""

import contextlib
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from lorapool_local.binaries.build import OnStart, build, go_problem
from lorapool_local.binaries.download import OnBytes, download, host_of, reachable_hosts
from lorapool_local.binaries.durations import Durations, spoken
from lorapool_local.binaries.find import find
from lorapool_local.binaries.tools import KUBERNETES_NODE, SOURCES, Binaries, NodeBinaries, ProgramSource, sources
from lorapool_local.errors import BinariesUnavailable
from lorapool_local.paths import cache_dir

KUBERNETES_ENV: Final = "LORAPOOL_KUBERNETES"


def ensure_binaries(
    console: Console, *, may_build: bool = True, environment: Mapping[str, str] = os.environ
) -> Binaries:
    """All programs of a plane, with progress on the console.

    Args:
        environment: `LORAPOOL_KUBERNETES` names another minor version of Kubernetes than the newest, such as 1.29.

    Raises:
        BinariesUnavailable: says which program is missing and what was tried.
    """
    minor = environment.get(KUBERNETES_ENV)
    found = _ensure(sources(minor) if minor else SOURCES, console, may_build=may_build)
    return Binaries(
        etcd=found["etcd"],
        apiserver=found["kube-apiserver"],
        controller_manager=found["kube-controller-manager"],
        scheduler=found["kube-scheduler"],
        kubectl=found["kubectl"],
        helm=found["helm"],
    )


def ensure_node_binaries(console: Console) -> NodeBinaries:
    """The programs of a real node, with progress on the console.

    Raises:
        BinariesUnavailable: says which program is missing and what was tried.
    """
    found = _ensure([KUBERNETES_NODE], console, may_build=True)
    return NodeBinaries(kubelet=found["kubelet"], kube_proxy=found["kube-proxy"])


def _ensure(sources: Sequence[ProgramSource], console: Console, *, may_build: bool) -> Mapping[str, Path]:
    acquisition = Acquisition(console, cache_dir(), may_build=may_build)
    acquisition.fetch([source for source in sources if not acquisition.is_at_hand(source)])
    return acquisition.found


_QUIET_S = 30.0


class Acquisition:
    """One round of looking and fetching, on one cache folder."""

    def __init__(
        self,
        console: Console,
        cache: Path,
        *,
        may_build: bool,
        reachable_hosts: Callable[[Iterable[ProgramSource]], set[str]] = reachable_hosts,
        download: Callable[[ProgramSource, Path, Callable[[str], OnBytes]], None] = download,
    ) -> None:
        self._console = console
        self._cache = cache
        self._may_build = may_build
        self._reachable_hosts = reachable_hosts
        self._download_program = download
        self._found: dict[str, Path] = {}
        self._durations = Durations(cache / "durations.json")

    def is_at_hand(self, source: ProgramSource) -> bool:
        """Look on the machine and in the cache."""
        for tool in source.tools:
            cached = self._folder(source) / tool.name
            path = find(tool) or (cached if os.access(cached, os.X_OK) else None)
            if path is not None:
                self._found[tool.name] = path
        return all(tool.name in self._found for tool in source.tools)

    def fetch(self, missing: list[ProgramSource]) -> None:
        if not missing:
            return
        names = ", ".join(f"{source.name} {source.version}" for source in missing)
        self._console.print(f"missing: {names}; asking whether they can be downloaded", highlight=False)
        hosts = self._reachable_hosts(missing)
        with contextlib.ExitStack() as locks:
            for source in missing:
                locks.enter_context(self._lock(source))
            # Another process may have brought it while this one waited.
            self._fetch([source for source in missing if not self.is_at_hand(source)], hosts)
            for source in missing:
                self.is_at_hand(source)

    @property
    def found(self) -> Mapping[str, Path]:
        """Program to where it lies."""
        return self._found

    def _fetch(self, missing: list[ProgramSource], hosts: set[str]) -> None:
        to_build = []
        for source in missing:
            if (failure := self._try_download(source, hosts)) is not None:
                self._check_buildable(source, failure)
                to_build.append(source)
        if to_build:
            self._build_all(to_build)

    def _try_download(self, source: ProgramSource, hosts: set[str]) -> str | None:
        """Why the download failed; None where it did not."""
        host = host_of(source.archive.url)
        if host not in hosts:
            return f"no answer from {host}"
        try:
            self._into_cache(source, "download", self._download)
        except BinariesUnavailable as error:
            return str(error)
        return None

    def _check_buildable(self, source: ProgramSource, failure: str) -> None:
        problem = go_problem(source) if self._may_build else "building takes minutes: run `make binaries` for it"
        if problem is not None:
            missing = ", ".join(tool.name for tool in source.tools if tool.name not in self._found)
            raise BinariesUnavailable(f"{missing} ({source.version}) cannot be had: {failure}; {problem}")

    def _build_all(self, sources: list[ProgramSource]) -> None:
        """All at once: while one waits for its modules or its linker, another compiles."""
        for source in sources:
            last = self._durations.last(f"build {source.folder}")
            expected = (
                f"took {spoken(last)} last time" if last else f"usually takes {spoken(source.usual_build_s)} on 2 cores"
            )
            self._console.print(f"  building {source.name} {source.version} with Go: {expected}", highlight=False)
        builds_running: list[subprocess.Popen[str]] = []
        with self._progress(TaskProgressColumn()) as progress, ThreadPoolExecutor(len(sources)) as threads:
            get = partial(self._build, progress, builds_running.append)
            builds = [threads.submit(self._into_cache, source, "build", get) for source in sources]
            try:
                for finished in as_completed(builds):
                    finished.result()
            except BaseException:
                for process in builds_running:
                    process.kill()
                raise

    def _into_cache(self, source: ProgramSource, way: str, get: Callable[[ProgramSource, Path], None]) -> None:
        """Get into a folder aside, then move each program to its place in one step."""
        folder = self._folder(source)
        folder.mkdir(parents=True, exist_ok=True)
        began = time.monotonic()
        with tempfile.TemporaryDirectory(dir=folder, prefix=".new-") as aside:
            get(source, Path(aside))
            for tool in source.tools:
                (Path(aside) / tool.name).replace(folder / tool.name)
        took = time.monotonic() - began
        self._durations.remember(f"{way} {source.folder}", took)
        self._console.print(f"  {source.name} {source.version}: {way} took {spoken(took)}", highlight=False)

    def _download(self, source: ProgramSource, folder: Path) -> None:
        with self._progress(DownloadColumn()) as progress:

            def follow(tool: str) -> OnBytes:
                bar = progress.add_task(f"download {tool}", total=None, said="")
                return lambda so_far, total: progress.update(bar, completed=so_far, total=total)

            self._download_program(source, folder, follow)

    def _build(self, progress: Progress, on_start: OnStart, source: ProgramSource, folder: Path) -> None:
        bar = progress.add_task(f"build {source.name}", total=source.packages_in_all, said="")
        still_there = self._line_now_and_then()

        def follow(compiled: int, line: str) -> None:
            progress.update(bar, completed=compiled, said=line[-60:])
            still_there(f"    {source.name}: {compiled} of about {source.packages_in_all} packages")

        build(source, folder, follow, on_start)
        progress.remove_task(bar)

    def _line_now_and_then(self) -> Callable[[str], None]:
        """Print a line of progress now and then where no terminal shows a bar: a silent log looks like a hang."""
        said_at = time.monotonic()

        def say(text: str) -> None:
            nonlocal said_at
            if not self._console.is_terminal and time.monotonic() - said_at > _QUIET_S:
                said_at = time.monotonic()
                self._console.print(text, highlight=False)

        return say

    def _progress(self, amount: DownloadColumn | TaskProgressColumn) -> Progress:
        said = TextColumn("{task.fields[said]}", style="dim")
        columns = (TextColumn("  {task.description}"), BarColumn(), amount, TimeElapsedColumn(), said)
        return Progress(*columns, console=self._console, transient=True)

    @contextlib.contextmanager
    def _lock(self, source: ProgramSource) -> Iterator[None]:
        locks = self._cache / "locks"
        locks.mkdir(parents=True, exist_ok=True)
        lock = FileLock(locks / f"{source.folder}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            self._console.print(f"  waiting for another process that gets {source.name}", highlight=False)
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def _folder(self, source: ProgramSource) -> Path:
        return self._cache / "bin" / source.folder
