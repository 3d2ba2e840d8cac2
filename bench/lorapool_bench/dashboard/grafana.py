"""The dashboard as Grafana reads it: `make dashboard`; `--check` fails where the file is stale."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any, Final

from lorapool_bench.dashboard.layout import Panel, PanelRow
from lorapool_bench.dashboard.panels import ROWS

FILE: Final = Path("charts/lorapool/files/dashboards/lorapool.json")
_WIDTH: Final = 24
_HEIGHT, _NUMBER_HEIGHT = 8, 4
_ACROSS, _NUMBERS_ACROSS = 3, 6
_DATASOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}

Json = dict[str, Any]


def dashboard() -> Json:
    """The whole of it, Grafana 10 or newer."""
    panels: list[Json] = []
    top = 0
    for row in ROWS:
        panels += _row(row, top, len(panels) + 1)
        last = panels[-1]["gridPos"]
        top = last["y"] + last["h"]
    return {
        "uid": "lorapool",
        "title": "lorapool",
        "tags": ["lorapool"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": _variables()},
        "annotations": {"list": []},
        "panels": panels,
    }


def text() -> str:
    return json.dumps(dashboard(), indent=1) + "\n"


def _variables() -> list[Json]:
    pools = "label_values(lorapool_operator_pods, pool)"
    return [
        {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"},
        {
            "name": "pool",
            "label": "Pool",
            "type": "query",
            "datasource": _DATASOURCE,
            "query": {"query": pools, "refId": "pools"},
            "definition": pools,
            "refresh": 2,
            "multi": True,
            "includeAll": True,
            "allValue": ".*",
            "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
        },
    ]


def _row(row: PanelRow, top: int, first_id: int) -> list[Json]:
    heading = {
        "id": first_id,
        "type": "row",
        "title": row.title,
        "collapsed": False,
        "panels": [],
        "gridPos": {"x": 0, "y": top, "w": _WIDTH, "h": 1},
    }
    placed = [heading]
    for number, panel in enumerate(row.panels):
        across, height = (_NUMBERS_ACROSS, _NUMBER_HEIGHT) if panel.is_number else (_ACROSS, _HEIGHT)
        line, place = divmod(number, across)
        width = _WIDTH // across
        position = {"x": place * width, "y": top + 1 + line * height, "w": width, "h": height}
        placed.append(_panel(panel, first_id + 1 + number) | {"gridPos": position})
    return placed


def _panel(panel: Panel, id_: int) -> Json:
    custom: Json = {"fillOpacity": 20, "lineWidth": 1, "showPoints": "never"}
    if panel.is_stacked:
        custom |= {"fillOpacity": 40, "stacking": {"mode": "normal", "group": "A"}}
    return {
        "id": id_,
        "type": "stat" if panel.is_number else "timeseries",
        "title": panel.title,
        "description": panel.about,
        "datasource": _DATASOURCE,
        "fieldConfig": {
            "defaults": {"unit": panel.unit.value, "min": 0, **({} if panel.is_number else {"custom": custom})},
            "overrides": [],
        },
        "options": {"reduceOptions": {"calcs": ["lastNotNull"]}} if panel.is_number else {"tooltip": {"mode": "multi"}},
        "targets": [
            {
                "refId": chr(ord("A") + number),
                "datasource": _DATASOURCE,
                "expr": query.expr,
                "legendFormat": query.legend or "__auto",
            }
            for number, query in enumerate(panel.queries)
        ],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail where the file is stale")
    given = parser.parse_args()
    fresh = FILE.exists() and FILE.read_text() == text()
    if given.check and not fresh:
        sys.exit(f"stale: {FILE}; run `make dashboard`")
    if not fresh:
        FILE.parent.mkdir(parents=True, exist_ok=True)
        FILE.write_text(text())


if __name__ == "__main__":
    main()
