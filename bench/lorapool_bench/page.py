"""docs/performance.md, from the results: `make performance-page`; `--check` fails where the page is stale."""

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import yaml

from lorapool_bench.coldstart import page as page_coldstart
from lorapool_bench.compiled import page as page_compiled
from lorapool_bench.fleet import page as page_fleet
from lorapool_bench.gateway import page as page_gateway
from lorapool_bench.gpu import page as page_gpu
from lorapool_bench.measure.result import RESULTS
from lorapool_bench.operator import page as page_operator
from lorapool_bench.overhead import page as page_overhead
from lorapool_bench.queue import page as page_queue
from lorapool_bench.routing import page as page_routing
from lorapool_bench.switch import page as page_switch
from lorapool_bench.threads import page as page_threads

PAGE: Final = Path("docs/performance.md")
NOTES: Final = "notes.yaml"
_HEADER: Final = (
    "<!-- Generated from bench/results by `make performance-page`; what stands between the figures is in bench/. -->\n"
)
_INTRO: Final = """# Performance

What the runtime does, beside diffusers' own unmodified code, and the gateway, beside the pod alone; in one run on one
machine: trust the ratios more than the seconds. Weights are random, never zeros. A figure is the median; behind ±
stands its standard error, in brackets the smallest and the largest. Where a target was set it stands beside the figure,
also where it was missed. The benches are in [`bench/`](../bench/README.md); every figure can be had again with the
command that its section names.
"""
Section = Callable[[Path, Mapping[str, str]], str]
SECTIONS: Final[tuple[Section, ...]] = (
    page_switch.section,
    page_overhead.section,
    page_compiled.section,
    page_threads.section,
    page_gpu.section,
    page_coldstart.section,
    page_queue.section,
    page_routing.section,
    page_gateway.section,
    page_fleet.section,
    page_operator.section,
)


def page(results: Path) -> str:
    """The whole page. Raises: ValidationError for a result of another version of its bench."""
    notes = _notes(results / NOTES)
    return "\n".join((_HEADER, _INTRO, *(section(results, notes) for section in SECTIONS)))


def _notes(path: Path) -> Mapping[str, str]:
    """Why a target was missed, by the target's key: written by whoever measured."""
    return (yaml.safe_load(path.read_text()) or {}) if path.exists() else {}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail where the page is stale")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--page", type=Path, default=PAGE)
    given = parser.parse_args()
    text = page(given.results)
    fresh = given.page.exists() and given.page.read_text() == text
    if given.check and not fresh:
        sys.exit(f"stale: {given.page}; run `make performance-page`")
    if not fresh:
        given.page.write_text(text)


if __name__ == "__main__":
    main()
