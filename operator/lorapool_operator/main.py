"""`lorapool operator`."""

import asyncio
from typing import Annotated, Final

import typer
import uvloop

import lorapool_operator.lean  # noqa: F401 -- before all that import httpx and structlog
from lorapool_common.collector import spare_the_collector
from lorapool_common.logs import configure
from lorapool_common.process import CannotStart, Process, run
from lorapool_common.signed.keys import KeyUnusable
from lorapool_operator.cluster.finalizers import remove_finalizers
from lorapool_operator.replica import serve as serve_until_stopped
from lorapool_operator.settings import Settings

# Of `gc.set_threshold`; the collector took a seventh of the CPU of a burst of adapters. Objects that are made beyond
# those that are freed, before the youngest are looked at: a pass makes so many at once.
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

    spare_the_collector(_MADE_AT_ONCE)

    async def serve(process: Process) -> None:
        try:
            keys = settings.read_keys()
        except KeyUnusable as error:
            raise CannotStart(f"{error}; see LORAPOOL_KEY_FILE and LORAPOOL_GATEWAY_KEY_FILE") from error
        await serve_until_stopped(settings, keys, process)

    run("lorapool operator", serve, loop=uvloop.new_event_loop)
