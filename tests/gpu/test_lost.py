"""A device whose context breaks: the process says so, and a new one works again."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tests.gpu.conftest import make_engine
from tests.runtime.ask import image

from lorapool_api.kinds.runtime import Device
from lorapool_runtime.errors import DeviceLost

REPOSITORY = Path(__file__).parents[2]
# In a process of its own: nothing of CUDA works in it afterwards.
BREAKS = """
import sys
from pathlib import Path
from tests.gpu import test_lost
test_lost.break_and_render(Path(sys.argv[1]))
"""


def break_and_render(model: Path) -> None:
    """Assert in a kernel while a picture is made, and tell what the engine raises, twice."""
    engine = make_engine(model, Device.CUDA)
    image(engine)
    torch.zeros(4, device="cuda")[torch.tensor([10**6], device="cuda")]
    for _ in range(2):
        try:
            image(engine)
        except DeviceLost as error:
            print("DeviceLost", error)
        else:
            print("went on")


@pytest.mark.timeout(600)
def test_an_assertion_in_a_kernel_means_that_the_device_is_lost(cuda: torch.device, model: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", BREAKS, str(model)], cwd=REPOSITORY, capture_output=True, text=True, timeout=500
    )
    said = [line for line in ended.stdout.splitlines() if line.startswith(("DeviceLost", "went on"))]
    assert len(said) == 2, ended.stderr[-2000:]
    assert all(line.startswith("DeviceLost") for line in said), said
    # What broke was that process's: the device itself is well.
    assert image(make_engine(model, Device.CUDA)).any()
