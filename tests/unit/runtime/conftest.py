"""Time that passes at once, for tests with the mark `virtual_time`."""

from tests.unit.operator.conftest import pytest_asyncio_loop_factories

__all__ = ["pytest_asyncio_loop_factories"]
