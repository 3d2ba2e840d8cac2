"""Images: what the chart names is what the Dockerfiles make and the release publishes."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.unit.chart.helm import CHART

ROOT = Path(__file__).parents[3]
DOCKERFILES = ("Dockerfile.operator", "Dockerfile.runtime")


def instructions(dockerfile: str) -> list[tuple[str, str]]:
    """(instruction, rest) of each, with continued lines joined."""
    text = re.sub(r"\\\n", " ", (ROOT / dockerfile).read_text())
    lines = (line.strip() for line in text.splitlines())
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines if line and line[0] != "#")]


def stages(dockerfile: str) -> list[str]:
    """Names of the stages in their order; the last may have none."""
    return [rest.partition(" AS ")[2] for word, rest in instructions(dockerfile) if word == "FROM"]


def release_images() -> list[dict[str, Any]]:
    workflow = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text())
    return list(workflow["jobs"]["images"]["strategy"]["matrix"]["include"])


@pytest.mark.parametrize("dockerfile", DOCKERFILES)
def test_every_stage_that_is_named_comes_before_and_every_lock_exists(dockerfile: str) -> None:
    seen: set[str] = set()
    for word, rest in instructions(dockerfile):
        if word == "FROM":
            image, _, name = rest.partition(" AS ")
            assert image.startswith("${PYTHON_IMAGE}") or image in seen
            seen.add(name)
        for stage in re.findall(r"--from=(\S+)", rest):
            assert stage in seen
        for lock in re.findall(r"requirements/[\w-]+\.txt", rest):
            assert (ROOT / lock).is_file()


@pytest.mark.parametrize("dockerfile", DOCKERFILES)
def test_images_run_as_the_user_of_the_pods_and_take_only_what_is_locked(dockerfile: str) -> None:
    found = instructions(dockerfile)
    assert ("USER", "65532:65532") in found
    assert ("ENTRYPOINT", '["lorapool"]') in found
    installs = [line for word, line in found if word == "RUN" and "pip install" in line]
    assert installs
    for line in installs:
        assert "--require-hashes" in line or "/dist/*.whl" in line


@pytest.mark.parametrize("dockerfile", DOCKERFILES)
def test_base_images_are_named_by_digest(dockerfile: str) -> None:
    (base,) = (rest.partition("=")[2] for word, rest in instructions(dockerfile) if "PYTHON_IMAGE=" in rest)
    assert re.fullmatch(r"python:[\w.-]+@sha256:[0-9a-f]{64}", base)


@pytest.mark.parametrize("dockerfile", DOCKERFILES)
def test_no_image_asks_for_gpus_that_its_pod_did_not_ask_for(dockerfile: str) -> None:
    assert not any("NVIDIA_VISIBLE_DEVICES" in rest for _, rest in instructions(dockerfile))


def test_the_stub_takes_no_torch() -> None:
    lock = (ROOT / "requirements/runtime-stub.txt").read_text()
    assert not re.search(r"^(torch|diffusers|transformers)==", lock, re.MULTILINE)


def test_the_release_publishes_the_images_that_the_chart_names() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())["image"]
    published = {(row["image"], row["suffix"]) for row in release_images()}
    named = {values[name]["repository"].rpartition("/")[2] for name in ("operator", "runtime", "stub")}
    assert {image for image, _ in published} == named
    assert (values["stub"]["repository"].rpartition("/")[2], "-stub") in published


def test_every_target_that_is_built_exists_and_the_default_is_the_whole_engine() -> None:
    for row in release_images():
        assert row["target"] in ("", *stages(row["file"]))
    assert stages("Dockerfile.runtime")[-1] == "diffusers"


@pytest.mark.parametrize("workflow", ["ci", "release"])
def test_workflows_pin_actions_by_commit_and_can_write_only_where_they_publish(workflow: str) -> None:
    text = (ROOT / f".github/workflows/{workflow}.yml").read_text()
    assert all(re.fullmatch(r"\S+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action) for action in re.findall(r"uses: (.*)", text))
    found = yaml.safe_load(text)
    assert found["permissions"] == {"contents": "read"}
    writing = {name for name, job in found["jobs"].items() if "write" in job.get("permissions", {}).values()}
    assert writing == ({"images", "chart"} if workflow == "release" else set())
