"""Facts of adapter files from their headers, without a stranger's bytes being parsed on the event loop."""

import asyncio
from typing import Final

from lorapool_api.fetch.policy import SourceRefused
from lorapool_api.kinds.conditions import Reason
from lorapool_api.lora.facts import AdapterFacts, read_facts
from lorapool_api.lora.facts_json import facts_in
from lorapool_api.lora.header import FactsError, parse_header
from lorapool_common.bounded.worker import BoundedWorker, OverBounds, WorkerUnavailable
from lorapool_operator.sources import header_work
from lorapool_operator.sources.header import HeaderText

# Up to this length the header is read where it is: that takes less than a millisecond, whatever it holds.
_AT_ONCE_BYTES: Final = 4 * 1024


class FactsReader:
    """Reads headers one at a time in a process of its own, which starts with the first that is not tiny."""

    def __init__(self) -> None:
        self._worker = BoundedWorker(header_work.__name__)

    async def read(self, header: HeaderText) -> AdapterFacts:
        """
        Raises:
            FactsError: what the header says cannot be served, or costs more to read than any adapter's.
            SourceRefused: it could not be read now.
        """
        if len(header.text) <= _AT_ONCE_BYTES:
            return read_facts(parse_header(header.text, header.size_bytes))
        asked = self._worker.submit(header_work.request(header.text, header.size_bytes), facts_in)
        try:
            return await asyncio.wrap_future(asked)
        except OverBounds as error:
            raise FactsError(Reason.INVALID_WEIGHTS, f"the header cannot be read: {error}") from error
        except WorkerUnavailable as error:
            text = f"the header could not be read now: {error}"
            raise SourceRefused(Reason.SOURCE_UNAVAILABLE, text) from error

    def close(self) -> None:
        self._worker.close()
