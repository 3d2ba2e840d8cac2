"""Alerts and dashboard ask for what the code exposes, in PromQL that parses."""

import re
from collections.abc import Iterator
from typing import Any

import promql_parser
import pytest
import yaml
from tests.unit.helpers.sources import ROOT
from tests.unit.observe.expositions import Exposed, all_exposed, series

from lorapool_api.kinds.conditions import Reason
from lorapool_bench.dashboard import grafana
from lorapool_bench.dashboard.panels import ROWS

ALERTS = yaml.safe_load((ROOT / "charts" / "lorapool" / "files" / "alerts.yaml").read_text())
RULES: list[dict[str, Any]] = [rule for group in ALERTS["groups"] for rule in group["rules"]]
RUNBOOK = ROOT / "docs" / "runbook"
# Labels that the scrape adds to each series of a pod.
OF_TARGETS = {"pool", "pod", "namespace", "instance", "job"}


def queries() -> Iterator[str]:
    yield from (rule["expr"] for rule in RULES)
    yield from (query.expr for row in ROWS for panel in row.panels for query in panel.queries)


def selectors(expr: str) -> Iterator[tuple[str, dict[str, str]]]:
    """(series, matchers) of each; matchers without their operators."""
    for name, matchers in re.findall(r"\b(lorapool_\w+)(?:\{([^}]*)\})?", expr):
        yield name, dict(re.findall(r'(\w+)\s*(?:=~|!~|!=|=)\s*"([^"]*)"', matchers))


def metric_of(name: str) -> Exposed | None:
    return next((m for m in all_exposed().values() if name in series(m.name, m.kind)), None)


@pytest.mark.parametrize("expr", sorted(set(queries())))
def test_a_query_parses_and_asks_for_what_there_is(expr: str) -> None:
    promql_parser.parse(expr.replace("$__rate_interval", "5m"))
    found = list(selectors(expr))
    assert found
    grouped = {label.strip() for by in re.findall(r"by \(([^)]*)\)", expr) for label in by.split(",")}
    for name, matchers in found:
        metric = metric_of(name)
        assert metric is not None, f"{name} is exposed by no part"
        own = set(metric.labels) | OF_TARGETS | ({"le"} if metric.kind == "histogram" else set())
        assert set(matchers) | grouped <= own, (name, own)
        if "reason" in matchers:
            assert set(matchers["reason"].split("|")) <= set(Reason)


@pytest.mark.parametrize("rule", RULES, ids=[rule["alert"] for rule in RULES])
def test_an_alert_says_what_it_means_and_has_a_page(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert rule["for"]
    notes = rule["annotations"]
    assert notes["summary"]
    assert notes["description"].endswith((".", "}."))
    page = RUNBOOK / notes["runbook_url"].rpartition("/docs/runbook/")[2]
    assert page.is_file(), page
    assert f"| `{rule['alert']}` | [" in (RUNBOOK / "README.md").read_text("utf-8")


def test_every_page_of_the_runbook_belongs_to_an_alert() -> None:
    linked = {rule["annotations"]["runbook_url"].rpartition("/")[2] for rule in RULES}
    assert {page.name for page in RUNBOOK.glob("*.md")} == linked | {"README.md"}


def test_the_dashboard_in_the_chart_is_that_of_the_table() -> None:
    """Else: `make dashboard`."""
    assert (ROOT / grafana.FILE).read_text("utf-8") == grafana.text()


def test_no_panel_lies_on_another() -> None:
    panels = grafana.dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        columns = range(place["x"], place["x"] + place["w"])
        cells = {(x, y) for x in columns for y in range(place["y"], place["y"] + place["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells
