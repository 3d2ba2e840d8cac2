"""What the operator's start brings along: a restart waits for it."""

import subprocess
import sys

# Of clients and terminals; half a second of imports, and none of it is used.
UNUSED = ("click", "huggingface_hub", "pygments", "rich", "tqdm")


def test_nothing_is_imported_for_terminals_and_what_hides_that_hides_it_from_nobody_later() -> None:
    program = (
        "import sys\n"
        # Its image has no such package, which kopf imports where it is.
        "sys.modules['kubernetes'] = None\n"
        "import lorapool_operator.main\n"
        f"print(*(name for name in {UNUSED!r} if name in sys.modules))\n"
        "import click, rich\n"
        "print(click.__name__, rich.__name__)\n"
    )
    done = subprocess.run((sys.executable, "-c", program), capture_output=True, text=True, check=True, timeout=60.0)
    assert done.stdout.splitlines() == ["", "click rich"]
