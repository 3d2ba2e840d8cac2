"""Building the programs from source with Go, from modules whose versions and hashes are in `go/`."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from lorapool_local.binaries.tools import ProgramSource, Version
from lorapool_local.errors import BinariesUnavailable

_MODULES = Path(__file__).parent / "go"
_GO_LINE = re.compile(r"^go (\d+)\.(\d+)(?:\.(\d+))?$", re.MULTILINE)
_KEPT_LINES = 15

# Without DWARF (the linker strips it anyway) and without inlining: a third of the compiler's time, and a plane does not
# live long enough to gain by either.
_COMPILER_FLAGS = "-gcflags=all=-dwarf=false -l"
_COLLECT_SELDOM = {"GOGC": "400"}

# (packages compiled so far, what Go said last)
OnLine = Callable[[int, str], None]
OnStart = Callable[["subprocess.Popen[str]"], None]


def go_problem(source: ProgramSource) -> str | None:
    """Why this source cannot be built here; None if it can."""
    go = shutil.which("go")
    if go is None:
        return "there is no Go"
    said = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, check=False)  # noqa: S603
    # A pre-release is `go1.27rc1`: two numbers will do.
    numbers = re.search(r"(\d+)\.(\d+)", said.stdout)
    have = (int(numbers.group(1)), int(numbers.group(2))) if numbers else (0, 0)
    need = needed_go((_module(source) / "go.mod").read_text())
    return None if have >= need[:2] else f"Go {have[0]}.{have[1]} is older than {need[0]}.{need[1]}"


def _module(source: ProgramSource) -> Path:
    return _MODULES / (source.module or source.name)


def needed_go(go_mod: str) -> Version:
    """The version in the `go` line of a go.mod. Raises: BinariesUnavailable, where there is none."""
    match = _GO_LINE.search(go_mod)
    if match is None:
        raise BinariesUnavailable("a go.mod without a go line")
    return tuple(int(part or 0) for part in match.groups())


def build(source: ProgramSource, folder: Path, on_line: OnLine, on_start: OnStart = lambda _: None) -> None:
    """Put the source's programs into `folder`.

    Args:
        on_start: gets the process, so that another thread can end it.

    Raises:
        BinariesUnavailable: with what Go said last.
    """
    command = ["go", "build", "-v", "-o", f"{folder}/", _COMPILER_FLAGS, "-ldflags", f"-s -w {source.linker_flags}"]
    compiled = 0
    last: list[str] = []
    with subprocess.Popen(  # noqa: S603 -- Go, on our own modules
        [*command, *source.packages],
        cwd=_module(source),
        env={**_COLLECT_SELDOM, **os.environ, "CGO_ENABLED": "0", "GOWORK": "off", "GOFLAGS": "-mod=readonly"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        on_start(process)
        try:
            for line in process.stderr or ():
                compiled += not line.startswith("go: ")
                last = [*last, line.rstrip()][-_KEPT_LINES:]
                on_line(compiled, line.strip())
        except BaseException:
            process.kill()
            raise
    if process.returncode != 0:
        raise BinariesUnavailable(f"{source.name} cannot be built:\n" + "\n".join(last))
