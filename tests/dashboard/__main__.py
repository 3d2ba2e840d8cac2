"""The picture of the dashboard in docs/: a real run, scraped, its queries evaluated by Prometheus' own engine.

`python -m tests.dashboard SECONDS`. Needs Go, for `promql/` beside this file, and no Grafana.
"""

import asyncio
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from lorapool_bench.dashboard.panels import ROWS
from lorapool_local.binaries import ensure_binaries
from tests.dashboard import picture
from tests.dashboard.run import Scrapes, run

HERE: Final = Path(__file__).parent
PICTURE: Final = HERE.parents[1] / "docs" / "images" / "dashboard.png"
STEP_MS: Final = 2000
WINDOW: Final = "20s"


def evaluated(scrapes: Scrapes, queries: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """Each query's series, as Prometheus would answer."""
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "promql"
        subprocess.run(["go", "build", "-mod=mod", "-o", program, "."], cwd=HERE / "promql", check=True)
        asked = {
            "series": scrapes.series(),
            "queries": list(queries),
            "start": scrapes.began_ms,
            "end": scrapes.ended_ms,
            "step_ms": STEP_MS,
        }
        done = subprocess.run([program, "query"], input=json.dumps(asked), capture_output=True, text=True, check=True)
    found: dict[str, list[dict[str, Any]]] = json.loads(done.stdout)
    return found


def as_asked(expr: str) -> str:
    """With Grafana's variables filled in."""
    return expr.replace("$__rate_interval", WINDOW).replace("$pool", ".*")


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 180.0
    scrapes = asyncio.run(run(ensure_binaries(Console(stderr=True)), seconds))
    exprs = [as_asked(query.expr) for row in ROWS for panel in row.panels for query in panel.queries]
    found = evaluated(scrapes, list(dict.fromkeys(exprs)))
    print(picture.draw(ROWS, lambda query: found[as_asked(query.expr)], scrapes.began_ms, PICTURE))


if __name__ == "__main__":
    main()
