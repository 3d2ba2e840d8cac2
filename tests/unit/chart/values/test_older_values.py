"""`helm upgrade --reuse-values` brings the values of the release before, without those that are new."""

import tarfile
from pathlib import Path
from typing import Any

import yaml
from tests.unit.chart.helm import CHART, NAMESPACE, NEWEST, run

PREVIOUS = next((Path(__file__).parents[3] / "cluster" / "previous").glob("lorapool-*.tgz"))


def previous_values() -> dict[str, Any]:
    with tarfile.open(PREVIOUS) as chart:
        file = chart.extractfile("lorapool/values.yaml")
        assert file
        return dict(yaml.safe_load(file))


def without_new(values: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    """The older values, and null for each that there was not: helm takes that for none."""
    found: dict[str, Any] = dict(before)
    for key, value in values.items():
        if key not in before:
            found[key] = None
        elif isinstance(value, dict) and isinstance(before[key], dict):
            found[key] = without_new(value, before[key])
    return found


def test_the_chart_renders_from_the_values_of_the_one_before(tmp_path: Path) -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    older = tmp_path / "values.yaml"
    older.write_text(yaml.safe_dump(without_new(values, previous_values())))
    command = ("template", "lorapool", str(CHART), "--namespace", NAMESPACE, "--kube-version", f"{NEWEST}.0")
    done = run(*command, "--values", str(older))
    assert done.returncode == 0, done.stderr
    assert "kind: Deployment" in done.stdout
