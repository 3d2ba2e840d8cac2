"""`lorapool operator`."""

import asyncio
import gc
from typing import Annotated, Final

import typer
import uvloop

from lorapool_common.logs import configure
from lorapool_common.process import CannotStart, Process, run
from lorapool_common.signed.keys import KeyUnusable
from lorapool_operator.cluster.finalizers import remove_finalizers
from lorapool_operator.replica import serve as serve_until_stopped
from lorapool_operator.settings import Settings

# Objects that are made beyond those that are freed, before the youngest are looked at: a pass makes so many at once.
_MADE_AT_ONCE: Final = 10_000


def command(
    remove_finalizers_: Annotated[
        bool,
        typer.Option(
            "--remove-finalizers",
            help="Take lorapool's finalizer off all adapters and end: before lorapool is removed.",
        ),
    ] = False,
) -> None:
    """Watch pools and adapters, make pods, give them their adapters. Settings come from the environment."""
    settings = Settings()
    configure(settings.log_level)
    if remove_finalizers_:
        print(f"finalizers removed: {asyncio.run(remove_finalizers(settings.namespaces))}")
        return

    _spare_the_garbage_collector()

    async def serve(process: Process) -> None:
        try:
            keys = settings.read_keys()
        except KeyUnusable as error:
            raise CannotStart(f"{error}; see LORAPOOL_KEY_FILE and LORAPOOL_GATEWAY_KEY_FILE") from error
        await serve_until_stopped(settings, keys, process)

    run("lorapool operator", serve, loop=uvloop.new_event_loop)


def _spare_the_garbage_collector() -> None:
    """Let it look neither at what was imported, which lives as long as the process, nor at each few hundred objects.

    It took a seventh of the CPU of a burst of adapters. What is not in a cycle is freed at once, as ever.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_MADE_AT_ONCE)
