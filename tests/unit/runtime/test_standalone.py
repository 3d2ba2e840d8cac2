"""A catalog from manifests and bare files, without Kubernetes."""

from pathlib import Path

import pytest

from lorapool_api.kinds.serving import FoundDefaults, SchedulerName
from lorapool_api.names import ADAPTER_KIND
from lorapool_runtime.standalone import UnusableManifest, catalog

LCM = FoundDefaults(steps=4, guidance_scale=1.0, scheduler=SchedulerName.LCM)


def manifest(folder: Path, spec: str) -> Path:
    path = folder / "adapter.yaml"
    path.write_text(f"kind: {ADAPTER_KIND}\nmetadata: {{name: pixel}}\nspec: {spec}\n")
    return path


def test_defaults_come_from_the_manifest_and_from_names_that_are_known(tmp_path: Path) -> None:
    bare = tmp_path / "lcm-lora-sdxl.safetensors"
    bare.touch()
    said = manifest(tmp_path, f"{{source: {{path: {bare}}}, defaults: {{steps: 6, negativePrompt: blur}}}}")
    from_bare, from_manifest = catalog([bare, said]).entries
    assert (from_bare.defaults, from_bare.recognised) == (None, LCM)
    assert from_manifest.defaults == FoundDefaults(steps=6, negative_prompt="blur")
    assert from_manifest.recognised == LCM


def test_a_stack_is_refused_with_what_to_do_instead(tmp_path: Path) -> None:
    with pytest.raises(UnusableManifest, match="names the members itself"):
        catalog([manifest(tmp_path, "{source: {stack: [{name: a}]}}")])
