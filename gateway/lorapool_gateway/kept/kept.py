"""All that a gateway keeps, put together."""

import time
from collections.abc import Callable

from lorapool_gateway.held import KEEP_S, MAX_KEPT_BYTES
from lorapool_gateway.kept.answers import KeptAnswers
from lorapool_gateway.kept.background import BackgroundRequests
from lorapool_gateway.kept.ids import Ids
from lorapool_gateway.metrics import KeptMetrics


class Kept:
    """What is kept, and the IDs of it."""

    def __init__(
        self,
        ids: Ids | None = None,
        clock: Callable[[], float] = time.time,
        keep_s: float = KEEP_S,
        max_bytes: int = MAX_KEPT_BYTES,
        metrics: KeptMetrics | None = None,
    ) -> None:
        """
        Args:
            ids: by default such as no other gateway reads.
            clock: seconds since 1970.
            keep_s: how long an answer is kept.
            max_bytes: of all answers together.
        """
        self.ids = ids or Ids()
        metrics = metrics or KeptMetrics()
        self.answers = answers = KeptAnswers(clock, keep_s, max_bytes, metrics.dropped)
        self.background = background = BackgroundRequests(self.ids, answers, clock, metrics=metrics)
        metrics.watch(lambda: background.running, lambda: answers.count, lambda: answers.size_bytes)
