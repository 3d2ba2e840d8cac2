"""What the bench of the queue found, on its simulated clock."""

from lorapool_bench.measure.result import Frozen, Result


class Waits(Frozen):
    """How one policy served a trace. A wait is from the arrival to the start of the inference, in seconds."""

    policy: str
    switches: int
    refused: int
    switching_s: float
    p50_s: float
    p95_s: float
    longest_s: float


class Traffic(Frozen):
    """Attributes:
    load: share of the time that the inference alone takes.
    """

    inference_s: float
    load: float
    requests: int
    waits: tuple[Waits, ...]


class QueueResult(Result):
    """Waits of each traffic under each order."""

    traffics: tuple[Traffic, ...]
