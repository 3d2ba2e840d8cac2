"""Programs that run between the supervisor and what it starts. Standard library only: they start in milliseconds.

They see to it that nothing outlives the supervisor: `tether` for components of the control plane, `container` for
the containers of pods, in namespaces of their own where the machine allows it.
"""

import os
import sys

_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def isolated_python(module: str) -> list[str]:
    """The command that runs `main` of a module, without site-packages and the environment's Python settings."""
    code = f"import sys; sys.path.insert(0, {_ROOT!r}); from {module} import main; main()"
    return [sys.executable, "-I", "-S", "-c", code]
