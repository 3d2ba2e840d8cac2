"""One hostile file, from its header to the weights: it is read, or refused with a typed reason, within bounds."""

import random
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import torch

from lorapool_api.kinds.conditions import Reason
from lorapool_api.lora.facts import AdapterFacts
from lorapool_api.lora.fit import check_fits
from lorapool_api.lora.header import ADAPTER, FactsError
from lorapool_runtime.adapters.check import check_file
from lorapool_runtime.adapters.file import AdapterFile, ScaledAdapter, Sidecars
from lorapool_runtime.engine.diffusers.weights.read import read_adapter
from lorapool_runtime.errors import AdapterError
from tests.fuzz.corpus import Seed, boards, seeds
from tests.fuzz.mutate import mutated

# What a file may turn out to be; anything else would blame the pod, or tell people to wait.
REASONS: Final = frozenset(
    {
        Reason.NOT_A_LORA,
        Reason.UNSUPPORTED_FORMAT,
        Reason.INVALID_WEIGHTS,
        Reason.RANK_TOO_HIGH,
        Reason.BASE_MODEL_MISMATCH,
    }
)
MAX_RANK: Final = 16
CPU_S: Final = 2.0
"""A case takes a few milliseconds."""
MEMORY_PER_BYTE: Final = 4
MEMORY_PER_METADATA_BYTE: Final = 32
"""Some of the metadata is JSON again, and two letters of JSON make an object."""
MEMORY_BYTES: Final = 512 * 1024
"""What checking a file may take, beyond so much for each of its bytes: objects of Python for each of its tensors."""
MESSAGE_CHARS: Final = 4096


class Broken(AssertionError):
    """A promise that a file made the reader break."""


@dataclass
class Tally:
    """What the files turned out to be."""

    counts: dict[str, int] = field(default_factory=dict)
    slowest_s: float = 0.0
    most_memory: int = 0
    """Of all cases, the most that a check took beyond the bytes of its file."""

    def add(self, outcome: str) -> None:
        self.counts[outcome] = self.counts.get(outcome, 0) + 1

    def add_all(self, other: "Tally") -> None:
        for outcome, count in other.counts.items():
            self.counts[outcome] = self.counts.get(outcome, 0) + count
        self.slowest_s = max(self.slowest_s, other.slowest_s)
        self.most_memory = max(self.most_memory, other.most_memory)


class Judge:
    """Makes case after case; the same seed and number make the same file."""

    def __init__(
        self,
        folder: Path,
        seed: int,
        check: Callable[[Path, int], AdapterFacts] = check_file,
        message_chars: int = MESSAGE_CHARS,
    ) -> None:
        self._path = folder / "case.safetensors"
        self._seed = seed
        self._check = check
        self._message_chars = message_chars
        self.seeds = seeds()
        self._boards = boards()
        self.tally = Tally()

    def case(self, number: int) -> tuple[Seed, Seed]:
        """(what it was, what became of it)."""
        dice = random.Random(f"{self._seed}/{number}")  # noqa: S311 -- the same cases each time
        seed, other = dice.choice(self.seeds), dice.choice(self.seeds)
        content, config, words = seed.content, seed.peft_config, seed.embeddings
        if words is not None and dice.random() < 0.7:
            words = mutated(dice, words, other.content)
        elif config is not None and dice.random() < 0.3:
            config = mutated(dice, config, other.content)
        else:
            content = mutated(dice, content, other.content)
        return seed, Seed(seed.name, content, seed.base, config, words)

    def run(self, number: int) -> str:
        """The outcome in a word. Raises: Broken, or whatever the reader let through."""
        _, made = self.case(number)
        start = time.process_time()
        outcome = self.judge(made)
        took_s = time.process_time() - start
        self.tally.slowest_s = max(self.tally.slowest_s, took_s)
        if took_s > CPU_S:
            raise Broken(f"{took_s:.1f} s")
        self.tally.add(outcome)
        return outcome

    def judge(self, made: Seed) -> str:
        self._path.write_bytes(made.content)
        board = self._boards[made.base]
        try:
            with self._bounded(len(made.content)):
                facts = self._check(self._path, MAX_RANK)
            check_fits(facts, board.modules())
            beside = Sidecars(made.peft_config, made.embeddings)
            file = AdapterFile(self._path, "0" * 64, facts, beside)
            adapter = read_adapter(file, board, torch.float32, widths={"text_encoder": 8})
        except (AdapterError, FactsError) as error:
            self._check_refusal(error)
            return error.reason.value
        if not adapter.slots or not torch.isfinite(adapter.flat).all():
            raise Broken("ready, but it changes nothing or is not finite")
        plan = board.plan((ScaledAdapter(adapter.device_adapter(adapter.flat), 1.0),))
        board.switch(plan)
        board.release()
        return "served"

    def _check_refusal(self, error: AdapterError | FactsError) -> None:
        if error.reason not in REASONS or getattr(error, "transient", False):
            raise Broken(f"refused as {error.reason}: {error.message}")
        if not error.message or len(error.message) > self._message_chars or not error.message.isprintable():
            raise Broken(f"a message that nobody can show: {error.message[:200]!r}")

    @contextmanager
    def _bounded(self, size_bytes: int) -> Iterator[None]:
        tracemalloc.start()
        try:
            yield
        finally:
            took = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            self.tally.most_memory = max(self.tally.most_memory, took - size_bytes)
            metadata_bytes = min(size_bytes, ADAPTER.metadata.text_bytes)
            if took > MEMORY_BYTES + MEMORY_PER_BYTE * size_bytes + MEMORY_PER_METADATA_BYTE * metadata_bytes:
                raise Broken(f"checking {size_bytes} bytes took {took} bytes of memory")
