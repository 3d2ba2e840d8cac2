"""A checkpoint in one file of a repository: that file alone is fetched, and read as one on a volume."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from diffusers import StableDiffusionPipeline
from tests import tiny_families
from tests.families import single_file
from tests.families.checker import add_checker

from lorapool_hub.app import serving
from lorapool_hub.server import running

LOAD = """
import json, sys
from pathlib import Path
from lorapool_api.kinds.base_model import BaseModelSpec, Dtype
from lorapool_api.kinds.runtime import Device
from lorapool_api.kinds.sources import HubModel, ModelSource
from lorapool_runtime.engine.diffusers.base.pipeline import load_pipeline
from lorapool_runtime.engine.diffusers.base.single_file import single_file
from lorapool_runtime.errors import ModelError
file, revision, config, home = sys.argv[1:]
spec = BaseModelSpec(
    source=ModelSource(hub=HubModel(repo="lorapool/dream", revision=revision)),
    file=file,
    config=ModelSource.model_construct(hub=None, path=config),
    dtype=Dtype.FLOAT32,
)
try:
    fetched = single_file(spec)
    loaded = load_pipeline(spec, Device.CPU, lambda *_: None)
except ModelError as error:
    print(json.dumps({"error": str(error)}))
    sys.exit()
weights = [p.name for p in Path(home).rglob("snapshots/*/*")]
print(json.dumps({
    "at": fetched.parent.name, "fetched": weights, "revision": loaded.revision, "size": loaded.size_bytes,
    "family": loaded.family.name, "sum": float(loaded.pipeline.unet.conv_in.weight.detach().sum()),
}))
"""


def loaded(url: str, file: str, revision: str, config: Path, home: Path) -> dict[str, Any]:
    answer: dict[str, Any] = run_in_process(LOAD, url, home, file, revision, str(config), str(home))
    return answer


def run_in_process(program: str, url: str, home: Path, *arguments: str) -> Any:
    """In a process of its own: the libraries read the Hub's address when they are imported."""
    environment = {**os.environ, "HF_ENDPOINT": url, "HF_HOME": str(home), "OMP_NUM_THREADS": "1"}
    environment |= {"PYTHONPATH": os.pathsep.join(sys.path)}
    environment.pop("HF_HUB_OFFLINE", None)
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_one_file_of_a_repository_is_a_base(tmp_path: Path) -> None:
    folder = tiny_families.make_sd15(tmp_path / "sd15")
    pipeline = StableDiffusionPipeline.from_pretrained(folder, safety_checker=None)
    repo = tmp_path / "hub" / "dream"
    repo.mkdir(parents=True)
    (repo / "README.md").write_text("---\nlicense: mit\n---\n")
    checkpoint = single_file.write(repo / "dream.safetensors", pipeline)
    (repo / "other.safetensors").write_bytes(b"not asked for")
    config = single_file.configuration_of(folder, tmp_path / "config")
    with running(serving(tmp_path / "hub")) as url:
        found = loaded(url, "dream.safetensors", "main", config, tmp_path / "home")
        again = loaded(url, "dream.safetensors", found["at"], config, tmp_path / "home-2")
        missing = loaded(url, "nothing.safetensors", "main", config, tmp_path / "home-3")

    assert found["fetched"] == ["dream.safetensors"]
    assert found["size"] == checkpoint.stat().st_size
    assert found["family"] == "SD 1.x"
    assert abs(found["sum"] - float(pipeline.unet.conv_in.weight.detach().sum())) < 1e-4
    assert len(found["at"]) == 40
    assert again == found
    assert missing == {"error": "lorapool/dream at main has no file nothing.safetensors"}


CONFIGURED = """
import json, sys
from pathlib import Path
from lorapool_api.kinds.sources import HubModel
from lorapool_runtime.engine.diffusers.base.hub import snapshot
from lorapool_api.kinds.base_model import BaseModelSpec, Dtype
from lorapool_api.kinds.runtime import Device
from lorapool_api.kinds.sources import ModelSource
from lorapool_runtime.engine.diffusers.base.pipeline import load_pipeline
hub = HubModel(repo="lorapool/sd15", revision="main")
folder = snapshot(hub, ("transformer", "unet", "safety_checker"))
def there(*parts):
    files = [file for part in parts for file in (folder / part).iterdir() if file.is_file()]
    return sorted(str(file.relative_to(folder)) for file in files)
print(json.dumps(there("unet", "vae")))
"""

CHECKED = """
spec = BaseModelSpec(source=ModelSource(hub=hub), dtype=Dtype.FLOAT32)
found = []
for wanted in (False, True):
    folder = load_pipeline(spec, Device.CPU, lambda *_: None, with_checker=wanted).folder
    found.append(there("safety_checker"))
print(json.dumps(found))
"""


def test_the_weights_of_a_denoiser_that_comes_otherwise_are_not_fetched(tmp_path: Path) -> None:
    folder = tiny_families.make_sd15(tmp_path / "hub" / "sd15")
    (folder / "README.md").write_text("---\nlicense: mit\n---\n")
    with running(serving(tmp_path / "hub")) as url:
        found = run_in_process(CONFIGURED, url, tmp_path / "home")
    assert found == ["unet/config.json", "vae/config.json", "vae/diffusion_pytorch_model.safetensors"]


def test_the_weights_of_a_checker_are_fetched_where_it_is_asked(tmp_path: Path) -> None:
    folder = tiny_families.make_sd15(tmp_path / "hub" / "sd15")
    add_checker(folder)
    (folder / "README.md").write_text("---\nlicense: mit\n---\n")
    with running(serving(tmp_path / "hub")) as url:
        without, asked = run_in_process(CONFIGURED + CHECKED, url, tmp_path / "home")
    assert without == ["safety_checker/config.json"]
    assert asked == ["safety_checker/config.json", "safety_checker/model.safetensors"]
