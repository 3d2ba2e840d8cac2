"""What requests ask for lately, put together from what the pods say of their work."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Self

from lorapool_api.names import adapter_of
from lorapool_operator.placement.demand import Demand, noted
from lorapool_operator.seen.observed import Observed

# A ten-thousandth of a pod: nobody has asked for minutes.
_NOTHING: Final = 1e-4
# A pod tells of its work at least that often: what is heard first was done since.
_REPORT_EACH_S: Final = 30.0


@dataclass(frozen=True)
class AdapterDemands:
    """The use of a pool's adapters.

    Attributes:
        demands: by adapter's key, of those that somebody asked for lately, in whatever version.
        busy_s: what each pod had said of its work, by pod's key.
    """

    demands: Mapping[str, Demand] = field(default_factory=dict)
    busy_s: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def after(self, seen: Observed) -> Self:
        """The use, with what the pods say now; of the pool's adapters alone, whatever else they speak of."""
        said = {pod.key: report.busy_s for pod, report in seen.running_pods}
        new: dict[str, float] = dict.fromkeys(self.demands, 0.0)
        for pod, busy_s in said.items():
            before = self.busy_s.get(pod, {})
            for key, total_s in busy_s.items() if busy_s is not before else ():
                # A process that began anew counts from nought again.
                done_s, adapter = total_s - before.get(key, 0.0), adapter_of(key)
                new[adapter] = new.get(adapter, 0.0) + (done_s if done_s >= 0 else total_s)
        begun = Demand(at_s=seen.clock_s - _REPORT_EACH_S)
        known = {key: done_s for key, done_s in new.items() if key in seen.by_key}
        pods, now_s = len(said), seen.clock_s
        demands = {key: noted(self.demands.get(key, begun), done_s, now_s, pods) for key, done_s in known.items()}
        kept = {key: demand for key, demand in demands.items() if demand.copies or demand.load > _NOTHING}
        return type(self)(kept, said)

    @property
    def copies(self) -> tuple[tuple[str, int], ...]:
        """Copies that the requests for an adapter justify, with its key, where there are any."""
        return tuple(sorted((key, demand.copies) for key, demand in self.demands.items() if demand.copies))


NO_DEMANDS: Final = AdapterDemands()
