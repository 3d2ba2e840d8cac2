"""How many requests want a pool's pods, put together from what the gateways say."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from lorapool_api.wire.gateways.demand import GatewayDemand


@dataclass(frozen=True)
class PoolRequests:
    """The requests for a pool.

    Attributes:
        count: those that are known of.
        is_complete: whether all are known of. What is not known is not nothing: it justifies no pod less.
    """

    count: int = 0
    is_complete: bool = False


UNKNOWN = PoolRequests()


def pool_requests(
    answers: Sequence[GatewayDemand], pool: str, pods: Collection[str], *, all_answered: bool
) -> PoolRequests:
    """The requests for the pool.

    Those that the pods have are told twice: by the gateways that sent them, and by the pods, which others than gateways
    may have sent some too. The larger number counts.

    Args:
        answers: what gateways said lately.
        pods: uids of the pool's pods.
        all_answered: whether there are gateways, and all of them have answered.
    """
    demands = [demand for answer in answers if (demand := answer.pools.get(pool)) is not None]
    in_pods = sum(requests_of_pod(answers, uid) for uid in pods)
    count = sum(d.waiting for d in demands) + max(sum(d.running for d in demands), in_pods)
    return PoolRequests(count, all_answered)


def requests_of_pod(answers: Sequence[GatewayDemand], uid: str) -> int:
    """The requests that the pod has, as those say who asked it; 0 where none did."""
    said = (pod for answer in answers if (pod := answer.pods.get(uid)) is not None)
    return max((pod.pending + pod.running for pod in said), default=0)
