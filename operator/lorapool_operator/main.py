"""`lorapool operator`."""

import asyncio
import sys
from typing import Annotated

import typer

from lorapool_api.logs import configure
from lorapool_operator.finalizers import remove_finalizers
from lorapool_operator.replica import Operator
from lorapool_operator.settings import Settings, SettingsError


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
    try:
        asyncio.run(_remove(settings) if remove_finalizers_ else _serve(settings))
    except SettingsError as error:
        sys.exit(f"lorapool operator: {error}")


async def _serve(settings: Settings) -> None:
    await Operator(settings, settings.read_key()).run()


async def _remove(settings: Settings) -> None:
    count = await remove_finalizers(settings.namespaces)
    print(f"finalizers removed: {count}")
