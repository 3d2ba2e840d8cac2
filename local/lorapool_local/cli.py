"""`lorapool up | down | status | logs`: the embedded plane on the command line."""

import json
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.table import Table

from lorapool_local import plane
from lorapool_local.binaries import Binaries, ensure_binaries
from lorapool_local.config import Isolation, NodeConfig, PlaneConfig, SupervisorConfig
from lorapool_local.errors import LocalError, PlaneNotRunning
from lorapool_local.paths import STATE_ENV, StateDir, default_state_dir
from lorapool_local.report import PlaneReport, is_supervised, read_report

_console = Console()
_errors = Console(stderr=True)

State = Annotated[
    Path | None, typer.Option(help=f"The plane's folder (default: ${STATE_ENV} or the user's state folder).")
]


def up(
    state: State = None,
    detach: Annotated[bool, typer.Option(help="Come back when the plane is ready; `lorapool down` ends it.")] = False,
    cpu: Annotated[str | None, typer.Option(help="CPUs that the node offers (default: this machine's).")] = None,
    memory: Annotated[
        str | None, typer.Option(help="Memory that the node offers, as 8Gi (default: this machine's).")
    ] = None,
    gpus: Annotated[int, typer.Option(help="GPUs (nvidia.com/gpu) that the node offers.")] = 0,
    isolation: Annotated[Isolation, typer.Option(help="How pods are kept apart.")] = Isolation.AUTO,
) -> None:
    """Start a Kubernetes control plane and a node that runs lorapool's pods as processes. Ctrl-C ends both."""
    folder = state or default_state_dir()
    offered = {key: value for key, value in (("cpu", cpu), ("memory", memory)) if value is not None}
    config = PlaneConfig(node=NodeConfig(gpus=gpus, isolation=isolation, **offered))
    try:
        binaries = ensure_binaries(_console)
        with _console.status("starting the control plane") as spinner:
            started, process = plane.start(
                folder,
                binaries,
                config,
                lifeline=not detach,
                on_waiting=lambda name: spinner.update(f"starting the control plane: waiting for {name}"),
            )
    except LocalError as error:
        _fail(error)
    _console.print(
        f"ready: {started.server}\n\n  export KUBECONFIG={started.kubeconfig}\n  kubectl get nodes", highlight=False
    )
    if started.report.isolation != "namespaces":
        _console.print(f"\npods are not kept apart: {started.report.isolation}", highlight=False)
    if not detach:
        _wait_for_end(process)


def down(
    state: State = None,
    purge: Annotated[bool, typer.Option(help="Remove the folder too: objects, keys, logs.")] = False,
) -> None:
    """End the plane. What was applied to it is there again after the next `lorapool up`."""
    folder = state or default_state_dir()
    try:
        plane.stop(folder)
    except PlaneNotRunning as error:
        if not purge:
            _fail(error)
    if purge:
        plane.remove(folder)
    _console.print("the plane has ended")


def status(state: State = None) -> None:
    """Show the plane: components, addresses, node and pods."""
    folder = StateDir(state or default_state_dir())
    report = read_report(folder)
    if report is None or not is_supervised(folder):
        _fail(PlaneNotRunning(f"no plane is running on {folder.root}: `lorapool up` starts one"))
    _console.print(_components_table(report))
    _console.print(f"phase {report.phase}; pods in {report.isolation}; logs in {folder.logs}", highlight=False)
    _console.print(f"export KUBECONFIG={report.kubeconfig}", highlight=False, soft_wrap=True)
    _kubectl(folder, "get", "nodes,pods", "--all-namespaces", "-o", "wide")


def logs(
    pod: Annotated[str, typer.Argument(help="Name, or namespace/name.")],
    state: State = None,
    namespace: Annotated[str, typer.Option("--namespace", "-n")] = "default",
    container: Annotated[str | None, typer.Option("--container", "-c")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f")] = False,
    previous: Annotated[bool, typer.Option("--previous", "-p")] = False,
    tail: Annotated[int, typer.Option(help="Only the last lines; -1: all.")] = -1,
) -> None:
    """Show what a pod has written: `kubectl logs` on this plane."""
    folder = StateDir(state or default_state_dir())
    if "/" in pod:
        namespace, _, pod = pod.partition("/")
    if not is_supervised(folder):
        _fail(PlaneNotRunning(f"no plane is running on {folder.root}: `lorapool up` starts one"))
    chosen = ["-c", container] if container else []
    switches = [f"--follow={json.dumps(follow)}", f"--previous={json.dumps(previous)}", f"--tail={tail}"]
    sys.exit(_kubectl(folder, "logs", "-n", namespace, pod, *chosen, *switches))


def _wait_for_end(process: subprocess.Popen[bytes]) -> None:
    """Until Ctrl-C, SIGTERM, or the plane's own end."""
    asked = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: asked.set())
    _console.print("\nCtrl-C ends it", highlight=False)
    while not asked.wait(0.2):
        if process.poll() is not None:
            _fail(LocalError("the plane has ended by itself: `lorapool status`, or its logs, say why"))
    with _console.status("ending the plane"):
        process.terminate()
        process.wait()


def _components_table(report: PlaneReport) -> Table:
    table = Table("component", "pid", "address", box=None, pad_edge=False)
    table.add_row("supervisor and node", str(report.pid), "")
    for component in report.components:
        table.add_row(component.name, str(component.pid or "not running"), component.address)
    return table


def _kubectl(folder: StateDir, *arguments: str) -> int:
    config = SupervisorConfig.model_validate_json(folder.config.read_text())
    kubectl = Binaries.from_json(config.binaries).kubectl
    command = [str(kubectl), f"--kubeconfig={folder.kubeconfig}", *arguments]
    return subprocess.run(command, check=False).returncode  # noqa: S603 -- the plane's own kubectl


def _fail(failure: LocalError) -> NoReturn:
    _errors.print(f"[red]lorapool:[/red] {failure}", highlight=False)
    sys.exit(1)
