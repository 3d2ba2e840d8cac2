"""What tests of several folders share."""

import gc
import os
from collections.abc import Iterator

import pytest
import structlog
from rich.console import Console

from lorapool_local.binaries import Binaries, ensure_binaries
from lorapool_local.errors import BinariesUnavailable


@pytest.fixture(scope="session")
def binaries() -> Binaries:
    """The programs of the control plane; without them a test is skipped, with CI=true it fails."""
    try:
        # Building takes minutes, and would run into the time limit of whichever test comes first.
        return ensure_binaries(Console(stderr=True), may_build=False)
    except BinariesUnavailable as missing:
        if os.environ.get("CI") == "true":
            pytest.fail(str(missing))
        pytest.skip(str(missing))


@pytest.fixture(autouse=True)
def logs_as_before() -> Iterator[None]:
    """What a program under test says of logs holds for its test alone."""
    yield
    structlog.reset_defaults()


@pytest.fixture
def no_collection() -> Iterator[None]:
    """No pass of the garbage collector: over all that a run of many tests has loaded one takes longer than what is
    measured.
    """
    gc.collect()
    gc.disable()
    yield
    gc.enable()
