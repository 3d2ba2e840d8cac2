"""A pool as its owner wants it."""

from dataclasses import dataclass, field
from typing import Self

from lorapool_api.kinds.pool import Pool, PoolSpec, PoolStatus


@dataclass(frozen=True)
class DesiredPool:
    """A pool without its status, which changes all the time.

    Two are equal where they are one object at one generation: then their specs are the same too.

    Attributes:
        stripped: the object, its status empty.
    """

    uid: str
    generation: int
    stripped: Pool = field(compare=False, repr=False)

    @classmethod
    def of(cls, pool: Pool) -> Self:
        stripped = pool.model_copy(update={"status": PoolStatus()})
        return cls(pool.metadata.uid, pool.metadata.generation, stripped)

    @property
    def key(self) -> str:
        return self.stripped.key

    @property
    def namespace(self) -> str:
        return self.stripped.metadata.namespace

    @property
    def spec(self) -> PoolSpec:
        return self.stripped.spec
