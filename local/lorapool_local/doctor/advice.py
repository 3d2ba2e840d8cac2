"""What to do about a reason: pure. The condition's own message says what was found."""

from collections.abc import Mapping
from typing import Final

from lorapool_api.kinds.conditions import Reason, Remedy, traits
from lorapool_local.doctor.diagnosis import Severity

_WAIT: Final = "nothing: it goes on by itself"
_ADVICE: Final[Mapping[str, str]] = {
    Reason.SCALED_TO_ZERO: "kubectl scale bmp NAME --replicas=1, where it shall serve",
    Reason.SUSPENDED: "set spec.suspend to false, where it shall serve",
    Reason.WAITING_FOR_PODS: "look at the pool: no pod of it has been warm yet",
    Reason.STARTING: "wait: the message says how far; a first start downloads the base model",
    Reason.ROLLING_OUT: "wait; where it does not move, look at the pool's pods and at free GPUs",
    Reason.PROGRESS_DEADLINE_EXCEEDED: "look at the newest pods of the pool: kubectl describe pod; old pods serve on",
    Reason.CONTROL_TOKEN_REFUSED: "read what the pod says: a clock is wrong, or it has another key until the rollout",
    Reason.SOURCE_UNAVAILABLE: "see that the operator's and the pods' namespaces reach the source; it is tried again",
    Reason.SOURCE_NOT_FOUND: "correct spec.source: the repository, the revision or the file is not there",
    Reason.SOURCE_FORBIDDEN: "give it a token (spec.source.tokenSecretRef), or accept the repository's terms",
    Reason.DEMAND_UNKNOWN: "see that every gateway is ready, and that the operator reaches its port 8081",
    Reason.MEMBER_NOT_FOUND: "apply the missing member, or take it out of spec.source.stack",
    Reason.SECRET_FORBIDDEN: "let the operator get the Secret: secretReaders of the chart, or a Role of the namespace",
    Reason.SECRET_NOT_FOUND: "make the Secret in the adapter's own namespace",
    Reason.INVALID_SECRET: "correct the Secret's keys: the message says what is missing",
    Reason.POOL_NOT_FOUND: "apply the pool, or correct spec.poolRef",
    Reason.POOL_AMBIGUOUS: "name the pool in spec.poolRef",
    Reason.NAMESPACE_NOT_ALLOWED: "allow the namespace in the pool's spec.adapters.namespaces",
    Reason.QUOTA_EXCEEDED: "raise the pool's spec.adapters.perNamespace, or delete adapters of that namespace",
    Reason.NAME_CONFLICT: "rename it, or take the name out of modelIds: the message says who has it",
    Reason.INVALID_SPEC: "correct the spec: the message names the field or the object that is refused",
    Reason.CHECKSUM_MISMATCH: "find out why the file is another one before you change spec.sha256",
    Reason.FILE_TOO_LARGE: "raise the pool's spec.adapters.maxFileSize, or take a smaller file",
    Reason.NOT_A_LORA: "name the adapter's own file: this is no adapter",
    Reason.UNSUPPORTED_FORMAT: "convert it: the message names the keys that cannot be read",
    Reason.INVALID_WEIGHTS: "fetch the file anew from whoever made it: its numbers are broken",
    Reason.BASE_MODEL_MISMATCH: "name a pool of the base that it was trained for",
    Reason.RANK_TOO_HIGH: "raise the pool's spec.adapters.maxRank, or resize the adapter",
    Reason.LIMITS_DO_NOT_FIT: "lower the pool's serving.limits, or take a larger device",
    Reason.SLEEP_FAILED: "do what the message says, or set spec.scaling.sleep to false",
    Reason.MODEL_LOAD_FAILED: "correct spec.model: the message is the pod's own",
    Reason.CACHE_NOT_WRITABLE: "let user 65532 write to the cache volume",
    Reason.POD_FAILED: "look at the pod: kubectl logs POD --previous",
    Reason.INTERNAL_ERROR: "look at the log of the operator or the pod, and report it",
}


def advice(reason: str) -> str:
    """What to do; of a reason that this version does not know, to read its message."""
    if reason in _ADVICE:
        return _ADVICE[reason]
    return _WAIT if traits(reason).remedy is Remedy.TIME else "the message says what was found"


def level_of(reason: str) -> Severity:
    """How much it matters that a condition is not true for that reason."""
    remedy = traits(reason).remedy
    return {Remedy.TIME: Severity.WAIT, Remedy.NOTHING: Severity.WARNING}.get(remedy, Severity.ERROR)
