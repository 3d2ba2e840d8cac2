"""How many requests want a pool's pods, as a gateway tells it: `GET /v1/demand`, `/v1/pools/NAMESPACE/NAME/demand`."""

from pydantic import Field

from lorapool_api.wire.message import Wire
from lorapool_api.wire.state import Label, Number

# More pods, and pools, than any gateway follows.
MOST_PODS = 5_000
MOST_POOLS = 20_000


class PodRequests(Wire):
    """The requests that a pod has, from whomever, as it said last."""

    pending: Number = Field(description="Requests that wait.")
    running: Number


class PoolDemand(Wire):
    """The requests that one gateway has for a pool; those of all gateways together are the pool's."""

    waiting: Number = Field(description="Requests that are held here because no pod is ready for them.")
    running: Number = Field(description="Requests from here that a pod has, whether it works on them or not.")
    demand: Number = Field(description="Both together.")


class GatewayDemand(Wire):
    """What a gateway says of all pools that it knows."""

    pools: dict[Label, PoolDemand] = Field(
        default={}, description="By `namespace/name`, of those that have any demand.", max_length=MOST_POOLS
    )
    pods: dict[Label, PodRequests] = Field(
        default={}, description="By uid, of the pods that have answered this gateway.", max_length=MOST_PODS
    )
