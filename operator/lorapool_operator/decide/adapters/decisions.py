"""All decisions about a pool's adapters, from pass to pass: what did not change is not decided again."""

from lorapool_operator.decide.adapters.checks import Fit
from lorapool_operator.decide.adapters.fit import misfit
from lorapool_operator.decide.adapters.incremental.checked import CheckDecisions
from lorapool_operator.decide.adapters.incremental.statuses import StatusDecisions


class AdapterDecisions:
    """What is remembered of them only saves work: other ones decide the same."""

    def __init__(self, fit: Fit = misfit) -> None:
        self.checked = CheckDecisions(fit)
        self.statuses = StatusDecisions()
