"""What logs show, on a terminal too."""

import subprocess
import sys

PROGRAM = """
import structlog
from lorapool_common.logs import configure

def ask(token):
    raise ValueError("no answer")

configure(json=%s)
try:
    ask("".join(["can", "ary"]))
except ValueError:
    structlog.get_logger("test").exception("it failed")
"""


def test_a_traceback_shows_no_values_of_variables() -> None:
    for json in (True, False):
        done = subprocess.run([sys.executable, "-c", PROGRAM % json], capture_output=True, text=True, timeout=60)
        assert "ValueError: no answer" in done.stderr
        assert "canary" not in done.stderr
