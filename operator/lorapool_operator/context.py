"""What all workers share."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from lorapool_operator.act.control import Control
from lorapool_operator.act.events import Recorder
from lorapool_operator.act.kube import Kube
from lorapool_operator.act.resolver import Resolver
from lorapool_operator.metrics import Metrics
from lorapool_operator.settings import Settings
from lorapool_operator.store import Store


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class Context:
    """The operator's inputs and outputs, given to each worker. `key` derives the control tokens."""

    settings: Settings
    key: bytes
    store: Store
    kube: Kube
    control: Control
    resolver: Resolver
    recorder: Recorder
    metrics: Metrics
    pushes: asyncio.Semaphore
    now: Callable[[], datetime] = utc_now
