"""Where things lie: the cache that outlives every plane, and the folder of one plane."""

import os
from dataclasses import dataclass
from pathlib import Path

import platformdirs

CACHE_ENV = "LORAPOOL_CACHE"
STATE_ENV = "LORAPOOL_STATE"


def cache_dir() -> Path:
    """Programs of the control plane, kept from one plane to the next."""
    return Path(os.environ.get(CACHE_ENV) or platformdirs.user_cache_dir("lorapool"))


def default_state_dir() -> Path:
    """The folder of the plane that `lorapool up` starts."""
    return Path(os.environ.get(STATE_ENV) or platformdirs.user_state_dir("lorapool"))


@dataclass(frozen=True)
class StateDir:
    """The layout of one plane's folder."""

    root: Path

    @property
    def config(self) -> Path:
        return self.root / "config.json"

    @property
    def report(self) -> Path:
        """What the supervisor last said about itself."""
        return self.root / "plane.json"

    @property
    def lock(self) -> Path:
        """Held by the supervisor while it lives."""
        return self.root / "supervisor.lock"

    @property
    def kubeconfig(self) -> Path:
        return self.root / "kubeconfig"

    @property
    def secrets(self) -> Path:
        """Keys, certificates and tokens."""
        return self.root / "pki"

    @property
    def etcd(self) -> Path:
        return self.root / "etcd"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def pods(self) -> Path:
        return self.root / "pods"

    def create(self) -> None:
        for folder in (self.root, self.secrets, self.etcd, self.logs, self.pods):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
