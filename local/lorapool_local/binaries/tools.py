"""Which programs a plane needs, in which versions."""

from dataclasses import asdict, dataclass
from pathlib import Path

KUBERNETES_VERSION = "1.34.1"
ETCD_VERSION = "3.6.5"
HELM_VERSION = "3.19.0"


@dataclass(frozen=True)
class Binaries:
    """Where each program lies."""

    etcd: Path
    apiserver: Path
    controller_manager: Path
    scheduler: Path
    kubectl: Path
    helm: Path

    def to_json(self) -> dict[str, str]:
        return {name: str(path) for name, path in asdict(self).items()}

    @classmethod
    def from_json(cls, value: dict[str, str]) -> "Binaries":
        return cls(**{name: Path(path) for name, path in value.items()})
