"""The committed weights, served by the small Hub, loaded by diffusers by their repository ids as from the real one."""

import os
import subprocess
import sys
from pathlib import Path

from lorapool_hub.app import serving
from lorapool_hub.server import running

WEIGHTS = Path(__file__).parents[3] / "models" / "weights"
SCRIPT = """
import torch
from diffusers import AutoPipelineForText2Image

torch.set_num_threads(1)
pipeline = AutoPipelineForText2Image.from_pretrained("lorapool/shapes-xl")
pipeline.load_lora_weights("lorapool/outline", weight_name="outline.safetensors", adapter_name="outline")
pipeline.load_lora_weights("lorapool/pixel", adapter_name="pixel")
print(sorted(pipeline.get_list_adapters()["unet"]))
print(pipeline("a red circle on a blue background", num_inference_steps=1).images[0].size)
"""


def test_diffusers_loads_base_and_adapters_by_their_ids(tmp_path: Path) -> None:
    with running(serving(WEIGHTS)) as url:
        environment = {**os.environ, "HF_ENDPOINT": url, "HF_HOME": str(tmp_path), "OMP_NUM_THREADS": "1"}
        environment.pop("HF_HUB_OFFLINE", None)
        done = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["['outline', 'pixel']", "(128, 128)"]
