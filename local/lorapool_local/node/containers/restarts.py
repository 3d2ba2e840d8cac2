"""Whether a container is started again, and after what pause: the kubelet's rules, pure."""

from lorapool_common.backoff import Backoff
from lorapool_local.config import BackoffConfig
from lorapool_local.node.containers.process import Exit


def restart_policy(of_pod: str, of_container: str | None, *, is_init: bool) -> str:
    """The policy that counts for a container: an init container runs once, unless it is a sidecar."""
    if not is_init:
        return of_pod
    if of_container == "Always":
        return "Always"
    return "Never" if of_pod == "Never" else "OnFailure"


def is_restarted(policy: str, outcome: Exit) -> bool:
    """Whether a container that ended so is started again."""
    return policy == "Always" or (policy == "OnFailure" and (outcome.shown_code != 0 or bool(outcome.error)))


class CrashBackoff:
    """Nothing after the first crash, then a pause that doubles; a long run starts it over."""

    def __init__(self, config: BackoffConfig) -> None:
        self._reset_after_s = config.reset_after_s
        self._backoff = Backoff(config.initial_s, config.maximum_s, jitter=0.0)
        self._has_crashed = False

    def after_run(self, ran_for_s: float) -> float:
        """The pause in seconds after a run of this length."""
        if self._has_crashed and ran_for_s < self._reset_after_s:
            return self._backoff.next()
        self._has_crashed = True
        self._backoff.reset()
        return 0.0
