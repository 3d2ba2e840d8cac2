"""`lorapool demo`."""

import signal
import sys
import threading
from pathlib import Path
from typing import Annotated, NoReturn

import platformdirs
import typer

from lorapool_local.binaries.durations import Durations
from lorapool_local.config import NodeConfig, PlaneConfig
from lorapool_local.demo import story
from lorapool_local.demo.clients import ClientFailed
from lorapool_local.demo.cluster import CommandFailed
from lorapool_local.demo.screen import Screen
from lorapool_local.errors import LocalError
from lorapool_local.paths import cache_dir

CHECKOUT = Path(__file__).parents[3]


def demo(
    exit_: Annotated[bool, typer.Option("--exit", help="End by itself with an exit status.")] = False,
    output: Annotated[Path, typer.Option(help="Folder for the images and the contact sheet.")] = Path("demo-output"),
) -> None:
    """One warm base model serves adapters that arrive by kubectl apply: no new Deployment, no new pod."""
    if not (CHECKOUT / "charts").is_dir():
        sys.exit("lorapool demo runs from a checkout of the repository: it shows the chart and the examples there")
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)  # for SIGINT too: a shell's background jobs begin with it ignored
    screen = Screen(Durations(cache_dir() / "durations.json"))
    folders = story.DemoFolders(CHECKOUT, platformdirs.user_state_path("lorapool-demo"), output.absolute())
    hub = [sys.executable, "-m", "lorapool_hub", "--root", str(CHECKOUT / "models" / "weights")]
    config = PlaneConfig(node=NodeConfig(images={story.HUB_IMAGE: hub}))
    try:
        for cluster in story.tell(screen, folders, config):
            if not exit_:
                story.what_to_try(screen, cluster)
                threading.Event().wait()
    except KeyboardInterrupt:
        screen.note("ending")
        if exit_:
            sys.exit(130)
    except (story.DemoFailed, ClientFailed, CommandFailed, LocalError) as error:
        screen.bad(str(error))
        sys.exit(1)


def _end(*_: object) -> NoReturn:
    raise KeyboardInterrupt
