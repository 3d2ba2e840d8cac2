"""What every training here shares: a rate that can be prolonged, averaged weights, checkpoints to go on from."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import torch
from rich.console import Console
from torch import Tensor, nn

_SAVE_EVERY_S: Final = 60.0


def threads_from_environment() -> None:
    """One process, one thread, unless OMP_NUM_THREADS says otherwise: spinning threads starve their neighbours."""
    torch.set_num_threads(min(torch.get_num_threads(), 2))


def rate(step: int, steps: int, warm_up: int = 100, cool_down: float = 0.25) -> float:
    """The learning rate's factor: up, level, then down to 1% over the last part, so that a longer run starts alike."""
    start = steps * (1 - cool_down)
    falling = 1.0 if step < start else 1 - 0.99 * (step - start) / (steps - start)
    return min(1.0, (step + 1) / warm_up) * falling


@dataclass
class Average:
    """The exponential moving average of a model's weights: what is shipped. Young averages follow more closely."""

    weights: dict[str, Tensor]
    decay: float = 0.998

    @classmethod
    def of(cls, model: nn.Module, decay: float = 0.998) -> Average:
        return cls({k: v.detach().clone() for k, v in model.state_dict().items()}, decay)

    def follow(self, model: nn.Module, step: int) -> None:
        keep = min(self.decay, (1 + step) / (10 + step))
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                self.weights[name].lerp_(value.detach(), 1 - keep)


@dataclass
class TrainingRun:
    """One training that can be broken off and taken up again: step, weights, average, optimizer, random numbers."""

    name: str
    model: nn.Module
    optimizer: torch.optim.Optimizer
    folder: Path
    average: Average
    step: int = 0
    losses: list[float] = field(default_factory=list)

    @classmethod
    def resume(
        cls, name: str, model: nn.Module, parameters: Iterable[nn.Parameter], lr: float, folder: Path
    ) -> TrainingRun:
        """The run as its last checkpoint left it, or a new one."""
        optimizer = torch.optim.AdamW(parameters, lr=lr, weight_decay=1e-4, betas=(0.9, 0.98))
        run = cls(name, model, optimizer, folder, Average.of(model))
        if run.checkpoint.exists():
            run._load()
        return run

    @property
    def checkpoint(self) -> Path:
        return self.folder / f"{self.name}.pt"

    def _load(self) -> None:
        kept = torch.load(self.checkpoint, weights_only=True)
        self.model.load_state_dict(kept["model"])
        self.optimizer.load_state_dict(kept["optimizer"])
        self.average.weights = kept["average"]
        self.step = kept["step"]
        torch.set_rng_state(kept["dice"])

    def save(self) -> None:
        kept = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average.weights,
            "step": self.step,
            "dice": torch.get_rng_state(),
        }
        partial = self.checkpoint.with_suffix(".partial")
        self.folder.mkdir(parents=True, exist_ok=True)
        torch.save(kept, partial)
        partial.replace(self.checkpoint)

    def until(self, steps: int, lr: float, loss_of: Callable[[int], tuple[Tensor, dict[str, float]]]) -> None:
        """Train up to that step. `loss_of(step)` is the loss and what is worth telling about it."""
        console = Console(soft_wrap=True)
        start, saved = time.monotonic(), time.monotonic()
        first = self.step
        while self.step < steps:
            loss, said = loss_of(self.step)
            self._learn(loss, lr * rate(self.step, steps))
            self.step += 1
            if self.step % 25 == 0:
                pace = (time.monotonic() - start) / (self.step - first)
                console.print(f"{self.name} {self.step}/{steps} {_figures(said)} {pace:.2f} s/step", highlight=False)
            if time.monotonic() - saved > _SAVE_EVERY_S or self.step == steps:
                self.save()
                saved = time.monotonic()

    def _learn(self, loss: Tensor, lr: float) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        trained = [p for group in self.optimizer.param_groups for p in group["params"]]
        nn.utils.clip_grad_norm_(trained, 1.0)
        self.optimizer.step()
        self.average.follow(self.model, self.step)


def _figures(said: dict[str, Any]) -> str:
    return " ".join(f"{name} {value:.4f}" for name, value in said.items())
