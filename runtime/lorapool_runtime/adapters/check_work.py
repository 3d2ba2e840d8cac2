"""What the bounded process does for a pod: the checks of a whole file, from its header to its last weight."""

import json
from collections.abc import Callable
from pathlib import Path

from lorapool_api.kinds.conditions import Reason
from lorapool_api.lora.facts import AdapterFacts
from lorapool_api.lora.facts_json import answered
from lorapool_api.lora.header import FactsError
from lorapool_runtime.adapters.check import check_file, check_header
from lorapool_runtime.errors import AdapterError


def request(path: Path, max_rank: int, *, weights: bool) -> bytes:
    """The file, and the pool's limit, as `answer` takes them."""
    return json.dumps([str(path), max_rank, weights]).encode()


def answer(request: bytes) -> bytes:
    """The facts, or why the file cannot be served, as JSON."""
    path, max_rank, weights = json.loads(request)
    return answered(lambda: _checked(Path(path), max_rank, check_file if weights else check_header))


def _checked(path: Path, max_rank: int, check: Callable[[Path, int], AdapterFacts]) -> AdapterFacts:
    try:
        return check(path, max_rank)
    except AdapterError as error:
        raise FactsError(error.reason, error.message) from error
    except FileNotFoundError as error:
        message = "the file left the pod's cache before it was read: another one needed the room"
        raise FactsError(Reason.SOURCE_UNAVAILABLE, message) from error
    except OSError as error:
        raise FactsError(Reason.SOURCE_UNAVAILABLE, f"the file cannot be read: {error.strerror}") from error
