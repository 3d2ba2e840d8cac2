"""What the demo shows on a terminal: steps, commands as a person would type them, and what is being waited for."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lorapool_local.binaries import Binaries, ensure_binaries
from lorapool_local.binaries.durations import Durations, spoken

# Of a log: wide enough for a table with names of pods.
_WIDTH: Final = 140


class Screen:
    """A numbered story. On a terminal what is waited for is live; in a log it is one line before and one after."""

    def __init__(self, durations: Durations) -> None:
        self._console = Console(highlight=False, width=None if Console().is_terminal else _WIDTH)
        self._durations = durations
        self._chapter = 0

    def chapter(self, title: str) -> None:
        self._chapter += 1
        self._console.print(f"\n[bold cyan]{self._chapter}[/] [bold]{escape(title)}[/]")

    def binaries(self) -> Binaries:
        """The programs of the control plane, with progress where they have to be fetched or built."""
        return ensure_binaries(self._console)

    def command(self, *words: str) -> None:
        """A command that is run now, as it can be typed again."""
        self._console.print(f"  [dim]$[/] {escape(' '.join(words))}", soft_wrap=True)

    def note(self, text: str) -> None:
        self._console.print(f"    {escape(text)}", soft_wrap=True)

    def good(self, text: str) -> None:
        self._console.print(f"  [green]✓[/] {escape(text)}", soft_wrap=True)

    def bad(self, text: str) -> None:
        self._console.print(f"  [red]✗[/] {escape(text)}", soft_wrap=True)

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        table = Table(*columns, box=None, header_style="dim", pad_edge=False, padding=(0, 2, 0, 0))
        for row in rows:
            table.add_row(*(escape(cell) for cell in row))
        self._console.print()
        self._console.print(table, soft_wrap=True)

    @contextmanager
    def waiting(self, what: str, usually_s: float) -> Iterator[None]:
        """Say what is waited for and how long it took last time (or usually takes); then how long it took."""
        last_s = self._durations.last(what)
        text = f"{what} (usually {spoken(usually_s)})" if last_s is None else f"{what} (last time {spoken(last_s)})"
        began = time.monotonic()
        if self._console.is_terminal:
            with self._console.status(escape(text)):
                yield
        else:
            self._console.print(f"  … {escape(text)}", soft_wrap=True)
            yield
        took_s = time.monotonic() - began
        self._durations.remember(what, took_s)
        self.good(f"{what}: {took_s:.1f} s")
