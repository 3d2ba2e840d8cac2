"""The installation under test is that of the e2e tests."""

from tests.e2e.conftest import installation

__all__ = ["installation"]
