"""What the headers of an answer say of how its images were made: pure."""

from collections.abc import Mapping, Sequence
from typing import Final

from lorapool_api.wire import headers
from lorapool_common.http.request_ids import HEADER as REQUEST_ID
from lorapool_gateway.serve.image_service import stages
from lorapool_gateway.serve.proxy import ServedReply

POOL: Final = "x-lorapool-pool"
DESCRIBED: Final[Mapping[str, str]] = {
    POOL: "The pool, as NAMESPACE/NAME.",
    headers.POD: "The pod that made the images.",
    headers.ADAPTERS: "JSON: key, sha256 and scale of each adapter that was used.",
    headers.BASE_REVISION: "The commit of the base model.",
    headers.SEED: "The seed of each image, by commas.",
    headers.WARNINGS: "JSON: what was said and has no effect.",
    headers.SERVER_TIMING: "Where the time went.",
    REQUEST_ID: "The id that the logs have; the client's own where it sent one.",
}
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
