"""What the headers of an answer say of how its images were made: pure."""

from collections.abc import Sequence
from typing import Final

from lorapool_api.wire import headers
from lorapool_common.http.request_ids import HEADER as REQUEST_ID
from lorapool_gateway.serve.image_service import stages
from lorapool_gateway.serve.proxy import ServedReply

POOL: Final = "x-lorapool-pool"
EXPOSED: Final = (
    "x-compute-time",
    "x-compute-type",
    "x-compute-characters",
    POOL,
    headers.POD,
    headers.ADAPTERS,
    headers.BASE_REVISION,
    headers.SEED,
    headers.WARNINGS,
    headers.SERVER_TIMING,
    REQUEST_ID,
    "retry-after",
)


def served_headers(served: ServedReply, warnings: Sequence[str]) -> dict[str, str]:
    """Pool, pod, adapter files, seeds and the time of each stage."""
    pool = headers.word(served.pool, 320)
    return {POOL: pool} | headers.reply_headers(served.reply, stages(served), warnings)
