"""The files that must be refused are refused by the runtime, each with the reason on its card."""

from pathlib import Path
from typing import Any

import pytest

from lorapool_api.lora.fit import check_fits
from lorapool_api.lora.header import FactsError
from lorapool_models.adapters import refused
from lorapool_models.adapters.refused import FILE, REFUSED, RefusedFile
from lorapool_models.base import architecture
from lorapool_runtime.adapters.check import check_file
from lorapool_runtime.engine.diffusers.layers.switchboard import Switchboard
from lorapool_runtime.errors import AdapterError


@pytest.fixture(scope="module")
def files(one_thread: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("refused")
    refused.write(root)
    return root


@pytest.fixture(scope="module")
def modules(one_thread: None, tmp_path_factory: pytest.TempPathFactory) -> Any:
    pipeline = architecture.make(tmp_path_factory.mktemp("base"), 0)
    return Switchboard({"unet": pipeline.unet}).modules()


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
def test_each_is_refused_for_what_its_card_says(case: RefusedFile, files: Path, modules: Any) -> None:
    folder = files / case.name
    assert f"`{case.reason.value}`" in (folder / "README.md").read_text()

    with pytest.raises((AdapterError, FactsError)) as error:
        check_fits(check_file(folder / FILE, max_rank=128), modules)
    assert getattr(error.value, "reason", None) is case.reason


def test_the_one_for_another_base_says_for_which(files: Path, modules: Any) -> None:
    with pytest.raises(FactsError, match=r"trained for SD 1\.x"):
        check_fits(check_file(files / "for-sd15" / FILE, max_rank=128), modules)
