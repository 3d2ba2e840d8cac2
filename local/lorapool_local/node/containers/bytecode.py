"""Compiled Python for processes that see this machine read-only: without it every start would compile anew."""

import compileall
import importlib.util
import sysconfig
from pathlib import Path

from lorapool_local.sandbox.rootfs import Mount

_PACKAGES = ("lorapool_api", "lorapool_common", "lorapool_gateway", "lorapool_operator", "lorapool_runtime")


def compile_own_packages() -> None:
    """lorapool's packages lie in the checkout, which pods may not write to. Quick where nothing has changed."""
    for name in _PACKAGES:
        found = importlib.util.find_spec(name)
        for folder in (found.submodule_search_locations or ()) if found is not None else ():
            compileall.compile_dir(folder, quiet=2)


def library_mounts() -> list[Mount]:
    """Installed libraries are compiled when first imported, and kept beside their sources as by any other process."""
    libraries = {str(Path(sysconfig.get_path(kind)).resolve()) for kind in ("purelib", "platlib")}
    return [Mount(path, path, read_only=False) for path in sorted(libraries)]
