"""The headers by which an answer says how its images were made, the same from a pod and from the gateway: pure.

Whatever a pod says goes through here, so no value of it can end a header or the room for all of them: an Ingress that
runs nginx gives the headers of an answer 4 kB together.
"""

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

from lorapool_api.wire.reply import GenerateReply, Timings, UsedAdapter

POD: Final = "x-lorapool-pod"
ADAPTERS: Final = "x-lorapool-adapters"
BASE_REVISION: Final = "x-lorapool-base-revision"
SEED: Final = "x-lorapool-seed"
WARNINGS: Final = "x-lorapool-warnings"
SERVER_TIMING: Final = "server-timing"

MAX_WORD_BYTES: Final = 128
MAX_ADAPTERS_BYTES: Final = 1600
MAX_SEEDS_BYTES: Final = 400
MAX_WARNINGS_BYTES: Final = 800
_MAX_WARNING_CHARACTERS: Final = 200
_SHORT_SHA256: Final = 12
_NOT_PLAIN: Final = re.compile(r"[^\x20-\x7e]")


def reply_headers(
    reply: GenerateReply, stages: Iterable[tuple[str, float]], warnings: Sequence[str] = ()
) -> dict[str, str]:
    """Pod, adapters, seeds, revision of the base, and the time of each stage.

    Args:
        reply: what made the images.
        stages: (name, seconds), in the order in which they passed; names are those that a part has for its own stages.
        warnings: what is said beside the reply's own.
    """
    headers = {
        POD: word(reply.pod),
        ADAPTERS: _adapters(reply.adapters),
        BASE_REVISION: word(reply.base_revision),
        SEED: _fitting([str(image.seed) for image in reply.images], MAX_SEEDS_BYTES),
        SERVER_TIMING: ", ".join([f"{stage};dur={seconds * 1000:.3f}" for stage, seconds in stages]),
    }
    said = (*warnings, *reply.warnings)
    return headers | ({WARNINGS: _warnings(said)} if said else {})


def stages_of(timings: Timings) -> tuple[tuple[str, float], ...]:
    """The stages in a pod, in seconds, in the order in which they pass."""
    return (
        ("queue", timings.queue_s),
        ("load", timings.load_s),
        ("switch", timings.switch_s),
        ("prompt", timings.prompt_s),
        ("inference", timings.inference_s),
        ("encode", timings.encode_s),
    )


def timeline_of(timings: Timings) -> tuple[tuple[str, float], ...]:
    """The same with `inference` as what it is made of: steps and decoding. For metrics and traces."""
    steps_s = max(0.0, timings.inference_s - timings.decode_s)
    parts = {"inference": (("steps", steps_s), ("decode", timings.decode_s))}
    return tuple([row for stage, seconds in stages_of(timings) for row in parts.get(stage, ((stage, seconds),))])


def word(text: str, limit_bytes: int = MAX_WORD_BYTES) -> str:
    """The text as a header's value: printable ASCII, of bounded length."""
    cut = text[:limit_bytes]
    return cut if cut.isascii() and cut.isprintable() else _NOT_PLAIN.sub("?", cut)


def _adapters(used: Sequence[UsedAdapter]) -> str:
    """JSON of the adapters; where that is too long with short sha256, then without what does not fit."""
    if not used:
        return "[]"
    rows = [adapter.model_dump(exclude_none=True) for adapter in used]
    text = json.dumps(rows)
    if len(text) > MAX_ADAPTERS_BYTES:
        rows = [row | {"sha256": row["sha256"][:_SHORT_SHA256]} for row in rows]
        text = _json_list(rows, MAX_ADAPTERS_BYTES, "more")
    return text


def _warnings(said: Sequence[str]) -> str:
    return _json_list([text[:_MAX_WARNING_CHARACTERS] for text in said], MAX_WARNINGS_BYTES, "and more")


def _json_list(items: Sequence[Any], limit_bytes: int, more: str) -> str:
    """A JSON list, which is ASCII, of as many items as fit, and of a last one that counts the others."""
    for fitting in range(len(items), -1, -1):
        left = len(items) - fitting
        last = [f"{left} {more}"] if isinstance(items[0], str) else [{more: left}]
        text = json.dumps([*items[:fitting], *(last if left else [])])
        if len(text) <= limit_bytes:
            return text
    return "[]"


def _fitting(words: Sequence[str], limit_bytes: int) -> str:
    """The words by commas, as many as fit whole."""
    text = ",".join(words)
    return text if len(text) <= limit_bytes else text[:limit_bytes].rpartition(",")[0]
