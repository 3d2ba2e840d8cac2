"""Whether an adapter fits the base model of its pool."""

from dataclasses import dataclass

from lorapool_api.kinds.conditions import Reason
from lorapool_api.lora.fit import check_fits
from lorapool_api.lora.header import FactsError
from lorapool_api.wire.state import BaseReport
from lorapool_operator.seen.resolution import Resolution
from lorapool_operator.seen.verdict import Verdict


@dataclass(frozen=True)
class FitInput:
    """What the fit of an adapter depends on.

    Attributes:
        key: of its entry in the catalog; results are kept by it.
        base: the modules of the base; None until a pod has loaded it.
        base_repo: the Hub repository of the base; None: it comes from elsewhere.
    """

    key: str
    resolution: Resolution
    base: BaseReport | None
    base_repo: str | None


def misfit(given: FitInput) -> Verdict | None:
    """What speaks against the fit, by the modules of the base where a pod reported them; by the card where the base
    has none to report. Comparing hundreds of modules takes a millisecond.
    """
    resolution, base = given.resolution, given.base
    if resolution.facts is None:
        return resolution.last_misfit  # only the pods see the file: they check
    if base is None:
        return Verdict(Reason.WAITING_FOR_PODS, "checked as soon as a pod of the pool has loaded its base model")
    if not base.modules:
        return _card_contradicts(resolution, given.base_repo)
    try:
        check_fits(resolution.facts, base.modules)
    except FactsError as error:
        return Verdict(error.reason, error.message)
    return None


def _card_contradicts(resolution: Resolution, base_repo: str | None) -> Verdict | None:
    if base_repo is None or not resolution.base_models or base_repo in resolution.base_models:
        return None
    return Verdict(
        Reason.BASE_MODEL_MISMATCH,
        f"its card says that it was trained for {', '.join(resolution.base_models)}; the pool holds {base_repo}",
    )
