"""An adapter that edits begin with."""

import pytest
from tests.unit.operator.decide.rollout.rolling import A, Rolling, hub, on_hub


@pytest.fixture
def served() -> Rolling:
    """One that is served from the Hub."""
    it = Rolling(hub("a/b"), on_hub(A))
    it.settle()
    return it
