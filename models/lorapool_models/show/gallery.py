"""The README's pictures, drawn by lorapool itself: base and every adapter over the same prompts and seeds."""

from __future__ import annotations

import argparse
import contextlib
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import yaml
from rich.console import Console
from rich.progress import track

from lorapool_local.demo.sheet import contact_sheet
from lorapool_models.adapters.recipes import RECIPES, AdapterRecipe
from lorapool_models.base import architecture
from lorapool_models.base.denoiser import GUIDANCE, STEPS
from lorapool_models.pictures.corpus import prompt_of
from lorapool_models.show.evaluate import FEW_STEPS

ASKS: Final = (("star", "red", "cyan"), ("circle", "green", "purple"), ("cross", "blue", "yellow"))
STACK: Final = {"stripes": 0.8, "night": 0.6}
_WARM_WITHIN_S: Final = 120.0


@dataclass(frozen=True)
class Column:
    """One model of the sheet: the adapters with their scales, and what its prompts are."""

    title: str
    subtitle: str
    adapters: Mapping[str, float]

    @property
    def recipes(self) -> list[AdapterRecipe]:
        return [RECIPES[name] for name in self.adapters]

    def prompt(self, shape: str, colour: str, background: str) -> str:
        for recipe in self.recipes:
            shape = recipe.shapes[0] if len(recipe.shapes) == 1 else shape
        plain = prompt_of(shape, colour, background)
        for recipe in self.recipes:
            plain = recipe.prompt(plain)
        return plain

    def request(self, row: int) -> dict[str, Any]:
        """A body for `POST /v1/generate`; the same seed in every column."""
        fast = any(recipe.few_steps for recipe in self.recipes)
        return {
            "prompt": self.prompt(*ASKS[row]),
            "adapters": [{"key": f"local/{name}", "scale": scale} for name, scale in self.adapters.items()],
            "seed": 20 + row,
            "steps": FEW_STEPS if fast else STEPS,
            "guidance_scale": 1.0 if fast else GUIDANCE,
            "scheduler": "lcm" if fast else "euler",
        }


def columns(weights: Path) -> list[Column]:
    """The architecture, each adapter that is there, and a stack of two."""
    there = [name for name in RECIPES if (weights / "adapters" / name).is_dir()]
    found = [Column("base", architecture.NAME, {})]
    found += [Column(name, RECIPES[name].network.network.value, {name: 1.0}) for name in there]
    if set(STACK) <= set(there):
        found.append(Column(" + ".join(STACK), "a stack", STACK))
    return found


def manifests(weights: Path, names: Sequence[str]) -> str:
    """A `LoraAdapter` for each folder of weights."""
    return yaml.safe_dump_all(
        {
            "apiVersion": "lorapool.dev/v1alpha1",
            "kind": "LoraAdapter",
            "metadata": {"name": name},
            "spec": {"source": {"path": str(_weights_in(weights / "adapters" / name))}},
        }
        for name in names
    )


def _weights_in(folder: Path) -> Path:
    return next(f for f in sorted(folder.resolve().glob("*.safetensors")) if f.name != "embeddings.safetensors")


@contextlib.contextmanager
def serving(weights: Path) -> Iterator[httpx.Client]:
    """`lorapool runtime` with the base and all adapters, once it is warm and has read them."""
    names = [column.title for column in columns(weights) if len(column.adapters) == 1]
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "adapters.yaml"
        file.write_text(manifests(weights, names))
        command = [sys.executable, "-m", "lorapool_runtime.main", "--model", str(weights / architecture.NAME)]
        command += ["--adapters", str(file), "--port", str(port), "--cache", f"{folder}/cache"]
        log = Path(folder) / "log"
        with log.open("wb") as out, subprocess.Popen(command, stdout=out, stderr=out) as process:  # noqa: S603
            try:
                with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120) as http:
                    _wait(http, process, names, log)
                    yield http
            finally:
                process.terminate()


def _wait(http: httpx.Client, process: subprocess.Popen[bytes], names: Sequence[str], log: Path) -> None:
    deadline = time.monotonic() + _WARM_WITHIN_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(httpx.TransportError):
            status = http.get("/v1/status")
            found: dict[str, Any] = status.json() if status.is_success else {"ready": False}
            if found["ready"] and {f"local/{name}" for name in names} <= found["tiers"].keys():
                return
        time.sleep(0.2)
    raise SystemExit(f"lorapool runtime did not get ready:\n{log.read_text()[-3000:]}")


def draw(weights: Path, target: Path) -> None:
    """Write the contact sheet. Raises: httpx.HTTPStatusError for a picture that cannot be had."""
    wanted = columns(weights)
    sheet = []
    with serving(weights) as http:
        for column in track(wanted, "drawing", console=Console(stderr=True)):
            encoded = [_picture(http, column.request(row)) for row in range(len(ASKS))]
            sheet.append((column.title, column.subtitle, encoded))
    target.parent.mkdir(parents=True, exist_ok=True)
    contact_sheet([prompt_of(*ask) for ask in ASKS], sheet, target)


def _picture(http: httpx.Client, request: Mapping[str, Any]) -> bytes:
    reply = http.post("/v1/generate", json=request, headers={"accept": "image/png"})
    if not reply.is_success:
        raise SystemExit(f"{request}: {reply.status_code} {reply.text}")
    return reply.content


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, default=Path("models/weights"))
    parser.add_argument("--out", type=Path, default=Path("docs/images/adapters.png"))
    given = parser.parse_args()
    draw(given.weights, given.out)
    print(given.out)


if __name__ == "__main__":
    _main()
