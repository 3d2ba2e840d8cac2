"""A pod's status as it changes: the answer to `GET /v1/status` where `Accept` names this media type first.

Lines of JSON, a `ServingStatus` each: the first answers as without the stream would be answered, the others say what
changed since. Every tick brings a line, an empty one while nothing has changed, so that whoever reads knows how old
what it knows is; a request that comes after a tick without news is told at once. Many adapters come in slices, each
but the last with `more`. A pod ends a stream now and then, so that the key that opened it counts no longer than it
should; one with too many streams, or of an earlier version, answers in JSON.
"""

from typing import Final

MEDIA_TYPE: Final = "application/x-ndjson"
TICK_S: Final = 0.05
# A gateway reads what came so often at most: a pod that sends without end takes a bounded share of the loop's time.
REST_S: Final = 0.02
# Adapters of one line: it takes either side about a millisecond.
SLICE: Final = 1000
MOST_STREAMS: Final = 64
LIFETIME_S: Final = 300.0
