"""The `lorapool` command: a group of the commands that the installed parts bring along.

Each part registers its own in the entry points `lorapool.commands`; an image that lacks a part's
dependencies lacks its commands, and says so when one is called.
"""

import os
import signal
import sys
from importlib.metadata import EntryPoint, entry_points

import typer

from lorapool_common.collector import uncollected

GROUP = "lorapool.commands"


def main() -> None:
    """Run the command that the first argument names; only that command's module is imported."""
    if os.getpid() == 1:
        _obey_signals()
    commands = {e.name: e for e in entry_points(group=GROUP)}
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name in commands:
        app = typer.Typer(add_completion=False, rich_markup_mode=None)
        app.command(name)(_load(commands[name]))
        typer.main.get_command(app).main(args=sys.argv[2:], prog_name=f"lorapool {name}")
        return
    _usage(sorted(commands), unknown=name if name and not name.startswith("-") else None)


def _obey_signals() -> None:
    """Have SIGTERM and SIGINT end this process at once, until its command takes them.

    The kernel does so for any process but the first one of a container, which it only brings signals that are handled;
    and a command's imports take seconds.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _: os._exit(128 + received))


def _load(command: EntryPoint):  # type: ignore[no-untyped-def]  # a typer command has any signature
    try:
        with uncollected():
            return command.load()
    except ModuleNotFoundError as error:
        sys.exit(f"lorapool {command.name}: this installation lacks {error.name!r}; install the extra that brings it")


def _usage(names: list[str], unknown: str | None) -> None:
    if unknown:
        print(f"lorapool: no command {unknown!r}", file=sys.stderr)
    print("usage: lorapool COMMAND [ARGS]\n\ncommands: " + ", ".join(names) + "\n\nlorapool COMMAND --help says more")
    sys.exit(2 if unknown else 0)


if __name__ == "__main__":
    main()
