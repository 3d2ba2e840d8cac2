"""What the benches' commands have in common: what can be said to them, and what they leave."""

import argparse
from collections.abc import Callable
from pathlib import Path

from lorapool_bench.measure.result import RESULTS, R, write
from lorapool_bench.subjects.unet import SHAPES


def parser(words: str | None, shape: str, rounds: int) -> argparse.ArgumentParser:
    """With the flags that every bench of a model has, and their defaults."""
    made = argparse.ArgumentParser(description=words)
    made.add_argument("--shape", choices=list(SHAPES), default=shape)
    made.add_argument("--rounds", type=int, default=rounds)
    made.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    made.add_argument("--out", type=Path, default=RESULTS)
    return made


def leave(result: R, folder: Path, name: str, draw: Callable[[R, Path], Path]) -> None:
    """Figures and plot; their names on the terminal."""
    print(write(result, folder, name))
    print(draw(result, folder / f"{name}.png"))
