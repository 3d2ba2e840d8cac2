"""A pod whose cache folder cannot be written says so in one line that ends up in the pool's status."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lorapool_api import names
from lorapool_api.kinds.base_model import BaseModelSpec
from lorapool_api.kinds.conditions import Reason
from lorapool_api.kinds.runtime import EngineName
from lorapool_api.kinds.sources import ModelSource
from lorapool_api.wire.config import RuntimeConfig
from lorapool_api.wire.last_words import last_words
from lorapool_runtime.cache_folder import CacheNotWritable, require_writable


def test_a_folder_that_can_be_written_stays_as_it_was(tmp_path: Path) -> None:
    require_writable(tmp_path / "made" / "here")
    assert list((tmp_path / "made" / "here").iterdir()) == []


def test_a_folder_of_somebody_else_is_said_with_its_owner_and_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    with pytest.raises(CacheNotWritable) as refused:
        require_writable(tmp_path)
    me = os.getuid()
    assert f"user {me} cannot write to the cache folder {tmp_path}" in str(refused.value)
    assert f"belongs to user {me}" in str(refused.value)
    assert f"chown {me}" in str(refused.value)


def test_the_process_ends_with_one_line_that_names_the_reason(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    model = BaseModelSpec(source=ModelSource(path=str(tmp_path)))
    config = RuntimeConfig(pool="default/shapes", model=model, engine=EngineName.STUB)
    env = os.environ | {names.CONFIG_ENV: config.model_dump_json(), "LORAPOOL_CACHE_DIR": str(tmp_path / "file" / "x")}
    command = [sys.executable, "-m", "lorapool_common.cli", "runtime"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=100)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    said = last_words(done.stderr)
    assert said is not None
    assert said.reason is Reason.CACHE_NOT_WRITABLE
    assert str(tmp_path / "file" / "x") in said.message
