"""Which version of an adapter is served, and what its status says of the one that is to take over.

A candidate takes over in all pods at once, by the status alone: the pods have both versions by then, and gateways ask
them for the one that the status names. With a canary the status says for which share of requests that is; the rest is
as it was.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from lorapool_api.kinds.adapter import AdapterVersion, CandidateVersion
from lorapool_api.kinds.conditions import Reason
from lorapool_api.wire.state import AdapterPhase
from lorapool_operator.decide.adapters.in_pods.findings import finding_of_pods
from lorapool_operator.decide.adapters.in_pods.status_input import InPod, StatusInput
from lorapool_operator.decide.versions import version_of
from lorapool_operator.seen.verdict import Verdict

# A pod whose copy hangs holds a verified version up for so long; it brings it when a request asks for it.
LATE_AFTER: Final = timedelta(seconds=60)
_ALL: Final = 100


@dataclass(frozen=True)
class RolloutState:
    """Which version is served.

    Attributes:
        served: what is known of it.
        serving, candidate, previous: as the status has them.
    """

    served: StatusInput
    serving: AdapterVersion | None
    candidate: CandidateVersion | None
    previous: AdapterVersion | None


def is_overdue(candidate: CandidateVersion | None, now: datetime) -> bool:
    """Whether the verified candidate waits no longer for pods that are late with their copies.

    A time that is as far ahead is one of a clock that was set back since: nobody waits until it comes.
    """
    return (
        candidate is not None
        and candidate.verified_time is not None
        and abs(now - candidate.verified_time) >= LATE_AFTER
    )


def decide_rollout(given: StatusInput) -> RolloutState:
    """The served version from now on; pure, and the same until something else is known."""
    status, rival = given.result.adapter.status, given.candidate
    previous = status.previous
    if rival is None:
        # Where no pool is there to check it for, it stays what it was.
        return RolloutState(given, recorded(given) or status.serving, None, previous)
    if _is_same_content(given, rival):
        return RolloutState(given, _answering(recorded(given), rival), None, previous)
    if (percent := _percent(rival)) == _ALL:
        return RolloutState(rival, recorded(rival), None, recorded(given))
    return RolloutState(given, recorded(given), _candidate(rival, percent), previous)


def recorded(given: StatusInput) -> AdapterVersion | None:
    """The version with all that was found in its file; None: the adapter was never served."""
    version, found = given.result.version, given.resolved
    if version is None or found is None:
        return version
    return version.model_copy(update={name: getattr(found, name) for name in type(found).model_fields})


def first_version(given: StatusInput) -> AdapterVersion | None:
    """What an adapter is served as that was not served before."""
    resolution, adapter = given.result.resolution, given.result.adapter
    if resolution is None or given.result.entry is None:
        return None
    version = version_of(adapter, resolution, adapter.key)
    return recorded(replace(given, result=replace(given.result, version=version)))


def _is_same_content(given: StatusInput, rival: StatusInput) -> bool:
    """Whether a new look at an address or a path found what was there before."""
    new, old = recorded(rival), recorded(given)
    if new is None or old is None or new.revision is not None or not rival.serving:
        return False
    return new.source == old.source and new.sha256 is not None and new.sha256 == old.sha256


def _answering(version: AdapterVersion | None, rival: StatusInput) -> AdapterVersion | None:
    asked = rival.result.version
    if version is None or asked is None:
        return version
    return version.model_copy(update={"refresh": asked.refresh, "tag": asked.tag})


def _percent(rival: StatusInput) -> int | None:
    """The share of requests that get it; None while the pods do not have it. All: it takes over.

    A share that was given stays for as long as a pod can serve it: pods that come later are no reason to take it back.
    """
    if rival.result.finding is not None or not rival.serving:
        return None
    if not (_is_canary(rival) or rival.is_overdue or _are_settled(rival)):
        return None
    rollout = rival.result.adapter.spec.rollout
    return _ALL if rollout is None else rollout.canary


def _is_canary(rival: StatusInput) -> bool:
    before, version = rival.result.adapter.status.candidate, rival.result.version
    return before is not None and version is not None and before.key == version.key and before.percent is not None


def _are_settled(rival: StatusInput) -> bool:
    """Whether the pods that bring it have it, or have failed."""
    return sum(map(_is_settled, rival.in_pods)) >= rival.copies.placed


def _is_settled(pod: InPod) -> bool:
    """Whether it is not worth waiting for: a pod that loads its base takes no requests."""
    return not pod.is_warm or pod.state.phase in (AdapterPhase.READY, AdapterPhase.FAILED)


def _candidate(rival: StatusInput, percent: int | None) -> CandidateVersion:
    before, version = rival.result.adapter.status.candidate, recorded(rival)
    if version is None:
        raise LookupError(rival.result.adapter.key)
    verdict = _obstacle(rival, percent)
    known_since = before.verified_time if before is not None and before.key == version.key else None
    first_seen = rival.now.astimezone(UTC).replace(microsecond=0) if rival.serving else None
    return CandidateVersion(
        **{name: getattr(version, name) for name in AdapterVersion.model_fields},
        reason=verdict.reason,
        message=verdict.message,
        verified_time=known_since or first_seen,
        percent=percent,
    )


def _obstacle(rival: StatusInput, percent: int | None) -> Verdict:
    """Why it has not taken over."""
    if percent is not None:
        text = f"{percent} % of requests get it; it takes over when rollout.canary is 100 or rollout is left out"
        return Verdict(Reason.CANARY, text)
    finding = rival.result.finding or finding_of_pods(rival)
    if finding is not None:
        return finding.verdict
    if not rival.serving:
        return Verdict(Reason.WAITING_FOR_PODS, "no pod has room to bring it ahead of requests (adapters.diskBudget)")
    return Verdict(Reason.LOADING, f"{rival.serving} of {rival.copies.placed} copies are on the pods' disks, checked")
