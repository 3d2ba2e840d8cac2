"""What the pods of a pool are up to, as far as statuses of adapters tell of it."""

from dataclasses import dataclass
from typing import Self

from lorapool_api.kinds.conditions import Reason
from lorapool_operator.seen.observed import Observed
from lorapool_operator.seen.verdict import Verdict


@dataclass(frozen=True)
class PoolPods:
    """The pods of a pool in a few numbers.

    Attributes:
        pool: the pool's key.
        replicas: that it shall have now; None: there is no such pool.
        running: pods with a process to talk to.
        warm: those of them whose base is loaded.
        token_refusal: what is said of pods that do not know the control token; None: all know it.
        scales: whether the requests for the pool decide how many pods it has.
    """

    pool: str
    replicas: int | None
    running: int
    warm: int
    token_refusal: Verdict | None
    scales: bool = False

    @classmethod
    def of(cls, seen: Observed) -> Self:
        replicas = seen.pool.spec.replicas if seen.pool else None
        scales = seen.pool is not None and seen.pool.spec.scaling is not None
        return cls(seen.key, replicas, len(seen.running_pods), len(seen.warm), token_refusal(seen), scales)


def token_refusal(seen: Observed) -> Verdict | None:
    """Pods that do not know the control token. A new key (an operator installed anew) makes new tokens, and a kubelet
    brings a changed Secret to running pods within about a minute; until then they serve what they had."""
    if not seen.refusing:
        return None
    count = len(seen.refusing)
    text = (
        f"{count} of {len(seen.running_pods)} pods of pool {seen.key} do not accept this operator's token yet: "
        "the kubelet brings it to them within about a minute; until then they serve what they were told before"
    )
    return Verdict(Reason.CONTROL_TOKEN_REFUSED, text)
