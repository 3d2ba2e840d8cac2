"""What the headers of an answer say of how its images were made: pure."""

import json
from collections.abc import Sequence
from typing import Final

from lorapool_gateway.proxy import Served
from lorapool_gateway.service import stages

EXPOSED: Final = (
    "x-compute-time",
    "x-compute-type",
    "x-compute-characters",
    "x-lorapool-pool",
    "x-lorapool-pod",
    "x-lorapool-adapters",
    "x-lorapool-base-revision",
    "x-lorapool-seed",
    "x-lorapool-warnings",
    "server-timing",
    "retry-after",
)


def served_headers(served: Served, warnings: Sequence[str]) -> dict[str, str]:
    """Pool, pod, adapter files, seed and the time of each stage. JSON here is ASCII, so any text is a valid header."""
    reply = served.reply
    headers = {
        "x-lorapool-pool": served.stack.pool,
        "x-lorapool-pod": reply.pod,
        "x-lorapool-adapters": json.dumps([used.model_dump() for used in reply.adapters]),
        "x-lorapool-base-revision": reply.base_revision,
        "x-lorapool-seed": ",".join(str(image.seed) for image in reply.images),
        "server-timing": ", ".join(f"{stage};dur={seconds * 1000:.1f}" for stage, seconds in stages(served)),
    }
    said = (*warnings, *reply.warnings)
    return headers | ({"x-lorapool-warnings": json.dumps(said)} if said else {})
