"""How long to wait before a container is started again."""

from dataclasses import dataclass

from lorapool_local.config import BackOffConfig


@dataclass
class BackOff:
    """Nothing after the first failure, then a pause that doubles; a long run starts it over, as the kubelet does."""

    config: BackOffConfig
    _pause_s: float = 0.0

    def after_run(self, ran_for_s: float) -> float:
        """The pause in seconds after a run of this length."""
        if ran_for_s >= self.config.reset_after_s:
            self._pause_s = 0.0
        pause_s = self._pause_s
        self._pause_s = min(max(self._pause_s * 2, self.config.initial_s), self.config.maximum_s)
        return pause_s

    def after_failed_start(self) -> float:
        """The pause after an attempt that started nothing: an image that is not there."""
        self._pause_s = min(max(self._pause_s * 2, self.config.initial_s), self.config.maximum_s)
        return self._pause_s
