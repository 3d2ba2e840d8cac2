"""Adapters whose scales change from step to step: what is active is changed between two of them."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Final

import torch

from lorapool_runtime.engine.diffusers.regions.apply import Region, applied

# To be called before a step: its number, from 0, and how many there are.
BeforeStep = Callable[[int, int], None]
Regions = Callable[[float], Sequence[Region]]
# A share of the steps is a number that people write: 0.1 of 30 is the third step, though 0.1 * 30 is more than 3.
_CLOSE: Final = 1e-6


def _nothing(share: float) -> None:
    """What is active stays."""


class ScaleChanges:
    """What one run does to the base's modules at which step. For the engine's thread; for several passes in turn.

    A pass counts its own steps. Each change takes effect from the first step on of which its share is done.
    """

    def __init__(
        self,
        starts: Sequence[float] = (0.0,),
        activate: Callable[[float], object] = _nothing,
        regions: Regions = lambda share: (),
    ) -> None:
        """
        Args:
            starts: shares of the steps, ascending from 0, from which on something else is active.
            activate: makes active what is from that share on; what is from 0 on is active already.
            regions: the adapters that count in a part of the picture from that share on.
        """
        self._starts = starts
        self._activate = activate
        self._regions = regions
        self._now = 0.0

    @property
    def is_steady(self) -> bool:
        """Whether nothing ever changes."""
        return len(self._starts) == 1

    @contextmanager
    def one_pass(self, denoiser: Any) -> Iterator[BeforeStep]:
        """While it lasts, the denoiser has what is active. Raises: AdapterError, also what it yields does."""
        self._begin(0.0)
        with ExitStack() as hooks:
            hooks.enter_context(applied(denoiser, self._regions(0.0)))

            def before_step(number: int, of: int) -> None:
                start = max(start for start in self._starts if start * of <= number + _CLOSE)
                if start != self._now:
                    hooks.close()
                    self._begin(start)
                    hooks.enter_context(applied(denoiser, self._regions(start)))

            yield before_step

    def _begin(self, start: float) -> None:
        if start != self._now:
            # What it allocates outlives the run: tensors of inference mode could not be written again outside of it.
            with torch.inference_mode(False):
                self._activate(start)
            self._now = start
