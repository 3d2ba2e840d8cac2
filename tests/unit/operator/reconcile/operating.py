"""The operator at work in memory: workers, passes and links together."""

from typing import Any

from tests.unit.operator import make as made
from tests.unit.operator.context import Bench
from tests.unit.operator.fake_pods import FakePod
from tests.virtual_time import until

from lorapool_api.kinds.adapter import Adapter, AdapterStatus
from lorapool_api.kinds.conditions import Condition
from lorapool_api.kinds.metadata import PoolRef
from lorapool_api.names import ADAPTER_FINALIZER

IP, OTHER_IP = "10.0.0.1", "10.0.0.2"


class Operating(Bench):
    """The operator at work."""

    def start_pod(
        self, pod: FakePod, ip: str = IP, name: str = "p-1", pool: str = "shapes", revision: int = 1, **fields: Any
    ) -> FakePod:
        self.pods.pods[ip] = pod
        self.put_pod(made.pod(name, ip=ip, pool=f"default/{pool}", **fields), f"uid-{pool}-runtime", revision)
        return pod

    def adapter(self, name: str) -> Adapter:
        found = self.cache.adapters.get(f"default/{name}")
        assert found is not None
        return found

    def status(self, name: str) -> AdapterStatus:
        return self.adapter(name).status

    def condition(self, name: str, type_: str) -> Condition:
        return made.condition(self.status(name).conditions, type_)

    async def says(self, summary: str, name: str) -> float:
        """Wait until it does; seconds that it took."""
        return await until(lambda: self.status(name).summary == summary, 120.0)

    def delete(self, name: str) -> None:
        """As `kubectl delete` does."""
        known = self.adapter(name)
        version = str(int(known.metadata.resource_version or 0) + 1)
        changes = {"deletion_timestamp": self.now(), "resource_version": version}
        self.put(known.model_copy(update={"metadata": known.metadata.model_copy(update=changes)}))

    def is_let_go(self, name: str) -> bool:
        return ADAPTER_FINALIZER not in self.adapter(name).metadata.finalizers

    def edit(self, name: str, pool: str | None) -> None:
        """As `kubectl edit` does: another pool, or none."""
        known = self.adapter(name)
        spec = known.spec.model_copy(update={"pool_ref": None if pool is None else PoolRef(name=pool)})
        version = str(int(known.metadata.resource_version or 0) + 1)
        meta = known.metadata.model_copy(
            update={"generation": known.metadata.generation + 1, "resource_version": version}
        )
        self.put(Adapter(metadata=meta, spec=spec, status=known.status))

    def gone(self, pool: str) -> None:
        """The pool and its objects are deleted."""
        known = self.cache.pools.get(f"default/{pool}")
        assert known is not None
        self.cache.wake(self.cache.pools.remove(known.key, known))

    def status_writes(self, name: str) -> int:
        return self.api.count(f"loraadapters/{name}/status")
