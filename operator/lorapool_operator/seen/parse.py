"""Manifests into values."""

from collections.abc import Mapping
from typing import Any

from lorapool_api.kinds.adapter import Adapter
from lorapool_api.kinds.pool import Pool


def read_pool(body: Mapping[str, Any]) -> Pool:
    """Raises: pydantic.ValidationError."""
    return Pool.model_validate(body)


def read_adapter(body: Mapping[str, Any]) -> Adapter:
    """Raises: pydantic.ValidationError."""
    return Adapter.model_validate(body)
