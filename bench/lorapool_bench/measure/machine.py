"""On what, and with what, something was measured. Never a name of a machine, nor a path on it."""

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict

_LIBRARIES: Final = ("torch", "diffusers", "peft", "transformers", "safetensors", "accelerate")
_HERE: Final = Path(__file__).parent


class Machine(BaseModel):
    """Attributes:
    cores: those that the process may use.
    load: processes that wanted to run when the bench began, on average over a minute.
    device: where the weights were.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    cpu: str
    cores: int
    memory_bytes: int
    load: float
    device: str


def machine(device: str = "cpu") -> Machine:
    """This one. `device`: cpu or cuda."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Machine(
        cpu=_cpu(),
        cores=len(os.sched_getaffinity(0)),
        memory_bytes=memory,
        load=round(os.getloadavg()[0], 2),
        device=_device(device),
    )


def versions() -> dict[str, str]:
    """Python, the libraries and the commit of this checkout; what is not installed is left out."""
    found = {"python": platform.python_version()}
    for library in _LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    return found | {"lorapool": _commit()}


def peak_bytes() -> int:
    """The most memory that this process has had at once, shared pages included. Raises: RuntimeError."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("the kernel does not tell the process's peak memory")


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _device(device: str) -> str:
    if device == "cpu":
        return "CPU"
    import torch

    return torch.cuda.get_device_name()


def _commit() -> str:
    git = ["git", "-C", str(_HERE), "describe", "--always", "--abbrev=12", "--dirty", "--exclude=*"]
    try:
        return subprocess.run(git, capture_output=True, check=True, text=True).stdout.strip()  # noqa: S603 -- no input
    except (OSError, subprocess.CalledProcessError):
        return version("lorapool")
