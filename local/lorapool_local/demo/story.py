"""The demo, told in order: a plane, lorapool on it, a base model, adapters that arrive, images."""

import contextlib
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lorapool_local import plane as planes
from lorapool_local.binaries import Binaries
from lorapool_local.config import PlaneConfig
from lorapool_local.demo import clients
from lorapool_local.demo.clients import Client, DemoImage, DemoRequest
from lorapool_local.demo.cluster import DemoCluster
from lorapool_local.demo.screen import Screen
from lorapool_local.demo.sheet import contact_sheet

HUB_IMAGE: Final = "lorapool.dev/demo-hub"
PROMPTS: Final = (
    "a red star on a cyan background",
    "a green circle on a purple background",
    "a blue cross on a yellow background",
)
SEED: Final = 7
# What takes longer than this on any machine has failed.
_PATIENCE: Final = "--timeout=600s"


class DemoFailed(Exception):
    """What the demo shows did not come true."""


@dataclass(frozen=True)
class SheetColumn:
    """A model of the contact sheet, and the client that asks for it.

    Attributes:
        trigger: what its prompts end with.
        shape: what its prompts ask for instead of a star, a circle or a cross.
    """

    title: str
    client_name: str
    client: Client
    trigger: str = ""
    shape: str = ""

    def prompt(self, plain: str) -> str:
        asked = re.sub(r"\b(star|circle|cross)\b", self.shape, plain) if self.shape else plain
        return f"{asked}, {self.trigger}" if self.trigger else asked


COLUMNS: Final = (
    SheetColumn("base", "curl", clients.curl(None)),
    SheetColumn("pixel", "huggingface_hub", clients.hugging_face("lorapool/pixel"), "pixel mosaic"),
    SheetColumn("outline", "openai", clients.openai("lorapool/outline"), "cartoon outline"),
    SheetColumn("night", "curl -H 'lora:'", clients.curl("lorapool/night"), "night glow"),
    SheetColumn("stripes", "curl -H 'lora:'", clients.curl("lorapool/stripes"), "striped"),
    SheetColumn("watercolour", "huggingface_hub", clients.hugging_face("lorapool/watercolour"), "watercolour paint"),
    SheetColumn("sunset", "openai", clients.openai("lorapool/sunset"), "sunset"),
    SheetColumn("frame", "curl -H 'lora:'", clients.curl("lorapool/frame"), "framed"),
    SheetColumn("polka", "huggingface_hub", clients.hugging_face("lorapool/polka"), "in <s0><s1> style"),
    SheetColumn("heart", "openai", clients.openai("lorapool/heart"), shape="heart"),
    SheetColumn("crescent", "curl -H 'lora:'", clients.curl("lorapool/crescent"), shape="crescent"),
    SheetColumn("fast", "curl, 4 steps", clients.curl("lorapool/fast")),
    SheetColumn(
        "stripes + night",
        "openai, stack",
        clients.openai("shapes-xl", [{"name": "stripes", "scale": 0.8}, {"name": "night", "scale": 0.6}]),
        "striped, night glow",
    ),
    SheetColumn("base again", "curl", clients.curl(None)),
)


@dataclass(frozen=True)
class DemoFolders:
    """Where the demo reads and writes.

    Attributes:
        checkout: the repository: chart, examples, weights.
        state: the plane's folder; removed at the end.
        output: the images and the contact sheet; kept.
    """

    checkout: Path
    state: Path
    output: Path


def tell(screen: Screen, folders: DemoFolders, config: PlaneConfig) -> Iterator[DemoCluster]:
    """Tell the story; yields once, when everything is up and shown, and takes the plane away afterwards.

    Raises:
        DemoFailed, CommandFailed, ClientFailed, LocalError: something did not come true;
            the plane is taken away all the same.
    """
    screen.chapter("A control plane: etcd, kube-apiserver, kube-controller-manager, kube-scheduler, one node")
    binaries = screen.binaries()
    planes.remove(folders.state)  # what a demo that was killed left behind
    with control_plane(screen, binaries, folders.state, config) as plane:
        cluster = DemoCluster(plane)
        examples = folders.checkout / "examples" / "demo"

        screen.chapter("A stand-in for huggingface.co, and lorapool by Helm")
        hub = start_hub(screen, cluster, examples)
        install(screen, cluster, folders.checkout, hub)

        screen.chapter("A base model: a BaseModelPool")
        start_pool(screen, cluster, examples)

        screen.chapter("Adapters, while the pool runs: LoraAdapters")
        add_adapters(screen, cluster, examples)

        screen.chapter("Images, by the clients that people use")
        make_images(screen, cluster, folders.output)
        yield cluster


@contextlib.contextmanager
def control_plane(screen: Screen, binaries: Binaries, state: Path, config: PlaneConfig) -> Iterator[planes.Plane]:
    with screen.waiting("control plane", usually_s=8):
        plane, process = planes.start(state, binaries, config, lifeline=True)
    try:
        screen.note(f"kubeconfig {plane.kubeconfig}")
        yield plane
    finally:
        planes.stop_process(process)
        planes.remove(state)


def start_hub(screen: Screen, cluster: DemoCluster, examples: Path) -> str:
    """The address of the demo's Hub, a pod like any other."""
    apply(screen, cluster, examples / "hub.yaml")
    with screen.waiting("hub is available", usually_s=3):
        cluster.kubectl("rollout", "status", "deployment/hub", _PATIENCE)
    return cluster.service_address("hub")


def install(screen: Screen, cluster: DemoCluster, checkout: Path, hub: str) -> None:
    command = (
        "install", "lorapool", str(checkout / "charts" / "lorapool"),
        "--namespace", "lorapool-system", "--create-namespace",
        "--set", f"hub.endpoint={hub}",
    )  # fmt: skip
    screen.command("helm", *(w.replace(f"{checkout}/", "") for w in command))
    with screen.waiting("operator and gateway are available", usually_s=6):
        cluster.helm(*command, "--wait", _PATIENCE)
    for pod in cluster.list("pods", "app.kubernetes.io/part-of=lorapool"):
        screen.note(f"pod {pod['metadata']['name']} under ServiceAccount {pod['spec']['serviceAccountName']}")


def start_pool(screen: Screen, cluster: DemoCluster, examples: Path) -> None:
    apply(screen, cluster, examples / "pool.yaml")
    with screen.waiting("base model is warm, pool is Ready", usually_s=15):
        cluster.kubectl("wait", "bmp/shapes-xl", "--for=condition=Ready", _PATIENCE)
    for line in cluster.kubectl("get", "bmp").splitlines():
        screen.note(line)


def add_adapters(screen: Screen, cluster: DemoCluster, examples: Path) -> None:
    """Apply all adapters and show how each became Ready. Raises: DemoFailed, where a pod or Deployment changed."""
    folder = examples / "adapters"
    before = cluster.snapshot()
    screen.command("kubectl", "apply", "-f", "examples/demo/adapters/")
    ready = cluster.apply_and_time(folder, expected=len(list(folder.glob("*.yaml"))), deadline_s=60)
    for name, (adapter, took_s) in sorted(ready.items()):
        found = adapter.status.resolved
        facts = f"{found.format} layout, rank {found.rank}, {found.targets} modules" if found else ""
        screen.good(f"{name}: Ready {took_s:.2f} s after apply ({facts})")
    after = cluster.snapshot()
    if before != after:
        changed = {**before, **after}
        raise DemoFailed(f"pods or Deployments changed: {', '.join(changed[u] for u in before.keys() ^ after.keys())}")
    screen.good(f"the same {len(after)} pods and Deployments as before, by uid")


def make_images(screen: Screen, cluster: DemoCluster, output: Path) -> None:
    """Every model, every prompt, through the gateway; files, contact sheet, table.

    Raises:
        DemoFailed: the base model's images are not the same bytes after all others as before them.
    """
    gateway = gateway_address(cluster)
    made: list[list[DemoImage]] = []
    for column in COLUMNS:
        with screen.waiting(f"{column.title} with {column.client_name}", usually_s=3):
            made.append([column.client(DemoRequest(gateway, column.prompt(p), SEED)) for p in PROMPTS])
    output.mkdir(parents=True, exist_ok=True)
    for column, images in zip(COLUMNS, made, strict=True):
        for number, image in enumerate(images, start=1):
            name = column.title.replace(" + ", "+").replace(" ", "-")
            (output / f"{name}-{number}.png").write_bytes(image.image)
    sheet = output / "contact-sheet.png"
    columns = [(c.title, c.client_name, [i.image for i in images]) for c, images in zip(COLUMNS, made, strict=True)]
    contact_sheet(PROMPTS, columns, sheet)
    screen.table(
        ("model", "client", "pod", "switch ms", "inference s", "adapter file's sha256"),
        [_row(column, images[0]) for column, images in zip(COLUMNS, made, strict=True)],
    )
    if [i.image for i in made[0]] != [i.image for i in made[-1]]:
        raise DemoFailed("base again is not the same bytes as base")
    screen.good("base again is the same bytes as base")
    screen.good(f"contact sheet: {sheet}")


def gateway_address(cluster: DemoCluster) -> str:
    return cluster.service_address("lorapool-gateway", "lorapool-system")


def apply(screen: Screen, cluster: DemoCluster, file: Path) -> None:
    screen.command("kubectl", "apply", "-f", f"examples/demo/{file.name}")
    cluster.kubectl("apply", "-f", str(file))


def what_to_try(screen: Screen, cluster: DemoCluster) -> None:
    screen.chapter("It stays up. In another terminal")
    screen.command(f"export KUBECONFIG={cluster.plane.kubeconfig}")
    screen.command("kubectl get lorapool")
    request = DemoRequest(gateway_address(cluster), PROMPTS[0], SEED)
    shown = shlex.join(w for w in clients.curl_command(request, "lorapool/pixel") if w != "-i")
    screen.command(f"{shown} > pixel.png")
    screen.note("Ctrl-C ends it and leaves nothing behind but the cache and the images.")


def _row(column: SheetColumn, made: DemoImage) -> Sequence[str]:
    files = " + ".join(s[:12] for s in made.sha256) or "-"
    return column.title, column.client_name, made.pod, f"{made.switch_ms:.1f}", f"{made.inference_s:.2f}", files
