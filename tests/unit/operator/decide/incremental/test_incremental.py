"""What is remembered from pass to pass changes no decision, whatever happened in between."""

import random
from dataclasses import replace
from typing import Any

from tests import make
from tests.unit.operator import make as op

from lorapool_api.kinds.adapter import Adapter
from lorapool_api.names import ADAPTER_FINALIZER
from lorapool_api.wire.state import AdapterPhase, AdapterState
from lorapool_operator.decide.adapters.decisions import AdapterDecisions
from lorapool_operator.decide.placements import PlacementDecisions
from lorapool_operator.decide.plan import PassMemory, decide
from lorapool_operator.seen.observed import Observed
from lorapool_operator.seen.resolution import Outcome, Resolution, Resolving

SEEDS = range(8)
STEPS = 25
NAMES = [f"a{number}" for number in range(12)]
PHASES = (AdapterPhase.READY, AdapterPhase.DOWNLOADING, AdapterPhase.FAILED)


class Happenings:
    """A pool to which things happen at random."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)  # noqa: S311 -- no secret
        self.adapters: dict[str, Adapter] = {}
        self.outcomes: dict[str, Outcome] = {}
        self.said: dict[str, dict[str, AdapterState]] = {"p-1": {}, "p-2": {}, "p-3": {}}
        self.pool: dict[str, Any] = {}
        self.clock_s = 3600.0

    def step(self) -> Observed:
        """One thing, sometimes several; then what a pass sees."""
        for _ in range(self.random.choice((1, 1, 4))):
            self.random.choice(
                (self.put, self.put, self.put, self.delete, self.find, self.say, self.say, self.edit_pool)
            )()
        self.clock_s += self.random.choice((0.1, 2.0, 20.0))
        said = {name: replace(op.report(), adapters=adapters) for name, adapters in self.said.items()}
        adapters = tuple(self.adapters.values())
        outcomes = {a.key: self.outcomes.get(a.metadata.name, Resolution()) for a in adapters}
        pool = op.pool(**self.pool)
        return op.seen(*adapters, pool=pool, reports=said, outcomes=outcomes, clock_s=self.clock_s)

    def put(self) -> None:
        name = self.random.choice(NAMES)
        spec: dict[str, Any] = self.random.choice(
            (
                {},
                {"suspend": True},
                {"modelIds": [f"people/{self.random.choice(NAMES)}"]},
                {"copies": self.random.choice((0, 1, 3))},
                {"source": {"stack": [{"name": self.random.choice(NAMES)}, {"name": "a1"}]}},
            )
        )
        marks = self.random.choice(([], [ADAPTER_FINALIZER]))
        made = make.adapter(name, metadata={"finalizers": marks, "generation": self.random.randrange(1, 4)}, **spec)
        self.adapters[name] = made

    def delete(self) -> None:
        name = self.random.choice(NAMES)
        known = self.adapters.pop(name, None)
        if known is not None and self.random.random() < 0.5:
            gone = {"deletion_timestamp": make.EPOCH, "finalizers": (ADAPTER_FINALIZER,)}
            self.adapters[name] = known.model_copy(update={"metadata": known.metadata.model_copy(update=gone)})

    def find(self) -> None:
        self.outcomes[self.random.choice(NAMES)] = self.random.choice(
            (Resolution(), Resolution(size_bytes=self.random.randrange(100)), Resolving())
        )

    def say(self) -> None:
        name = self.random.choice(list(self.said))
        state = op.state(self.random.choice(PHASES), generation=self.random.randrange(1, 4))
        self.said[name] = {**self.said[name], f"default/{self.random.choice(NAMES)}": state}

    def edit_pool(self) -> None:
        copies = self.random.choice((1, 2, "All"))
        self.pool = {"replicas": self.random.choice((0, 1)), "adapters": {"copies": copies}}
        if self.random.random() < 0.3:
            self.said.pop(self.random.choice(list(self.said)))
            self.said.setdefault(f"p-{self.random.randrange(9)}", {})


def test_a_plan_is_the_same_as_by_decisions_that_know_nothing() -> None:
    for seed in SEEDS:
        happenings, memory = Happenings(seed), PassMemory()
        used, placed = AdapterDecisions(), PlacementDecisions()
        for step in range(STEPS):
            seen = happenings.step()
            plan = decide(seen, memory, used, placed)
            assert plan == decide(seen, memory, AdapterDecisions(), PlacementDecisions()), (seed, step)
            memory = plan.memory
