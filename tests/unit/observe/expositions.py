"""What each part exposes to Prometheus once everything has happened in it, parsed as Prometheus does."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

from lorapool_api.kinds.base_model import BaseModelSpec
from lorapool_api.kinds.sources import ModelSource
from lorapool_api.wire.config import RuntimeConfig
from lorapool_api.wire.state import BasePhase, BaseState, Tier
from lorapool_common.kube.calls.api_call import ApiCall
from lorapool_gateway.metrics import Metrics as GatewayMetrics
from lorapool_operator.metrics import Metrics as OperatorMetrics
from lorapool_runtime.app.metrics import Metrics as RuntimeMetrics
from lorapool_runtime.app.metrics import PodFigures
from lorapool_runtime.engine.compile_figures import CompileFigures
from lorapool_runtime.engine.result import Applied, Rendering
from lorapool_runtime.queue.entry import Outcome
from lorapool_runtime.queue.sleep.sleeper import SleepFigures

POOL = "default/shapes"
CALL = ApiCall("patch", "loraadapters/status", "200", 0.01)


class HandClock:
    """A clock that a test sets."""

    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@dataclass(frozen=True)
class Exposed:
    """A metric as it is exposed; a histogram's own label `le` is left out."""

    name: str
    kind: str
    labels: tuple[str, ...]
    help: str

    @property
    def row(self) -> str:
        """As a row of docs/metrics.md."""
        labels = ", ".join(f"`{label}`" for label in self.labels)
        return f"| `{self.name}` | {self.kind} | {labels} | {self.help} |"


def operator() -> str:
    metrics = OperatorMetrics(HandClock())
    metrics.api.observe(CALL)
    metrics.passes.labels("ok").inc()
    metrics.pass_seconds.observe(0.01)
    with metrics.pass_stage("decide"):
        metrics.writes.labels("status").inc()
    metrics.set_adapters(POOL, {"Served": 3})
    metrics.set_pods(POOL, {"ready": 1})
    metrics.set_behind(POOL, None)
    metrics.leader.set(1)
    metrics.lookups.labels("hub", "ok").inc()
    metrics.lookup_seconds.labels("hub").observe(0.3)
    metrics.gpus.set(POOL, 1, 3)
    metrics.set_scaling(POOL, 2, 3, is_complete=True)
    return metrics.text().decode()


def gateway() -> str:
    metrics = GatewayMetrics()
    metrics.api.observe(CALL)
    metrics.answered("openai", POOL, "ok", 2)
    metrics.answered_key("alice", "ok", 2)
    metrics.retried(POOL, "away")
    metrics.took(POOL, [("steps", 1.0)])
    metrics.sent(POOL, 0.05)
    metrics.kept.accepted()
    metrics.kept.ended("succeeded")
    metrics.kept.dropped("expired")
    with metrics.waiting(POOL), metrics.running(POOL), metrics.demand(POOL):
        return metrics.text().decode()


FIGURES = PodFigures(
    sleep=SleepFigures(),
    pending=1,
    running=1,
    busy_s=12.0,
    base=BaseState(phase=BasePhase.WARM, cold_start_s=9.0, stages_s={"load": 6.0, "warm_up": 3.0}),
    start_s={"load": 6.0, "warm_up": 3.0, "catalog": 0.5, "image": 2.0},
    adapters={Tier.HOST: 2},
    held_bytes={Tier.DEVICE: 10, Tier.HOST: 20},
    evictions={Tier.HOST: 4},
    compiled=CompileFigures(1, 0, 2),
)


def runtime() -> str:
    config = RuntimeConfig(pool=POOL, model=BaseModelSpec(source=ModelSource(path="/models/shapes")))
    metrics = RuntimeMetrics(config, lambda: FIGURES)
    metrics.requests.labels("Ok").inc()
    metrics.named(Tier.DISK)
    rendering = Rendering((), 0.1, 0.2, 3.0, applied=Applied.MERGED, prompt_s=0.5, decode_s=1.0, loads=1)
    metrics.rendered(Outcome(rendering, 0.4, read_s=0.3))
    metrics.encoded(0.05)
    metrics.checked("safe")
    return metrics.text().decode()


EXPOSITIONS = {"operator": operator, "gateway": gateway, "runtime": runtime}


def exposed(text: str) -> Iterable[Exposed]:
    """The metrics of an exposition."""
    for family in text_string_to_metric_families(text):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = sorted({label for sample in family.samples for label in sample.labels} - {"le"})
        yield Exposed(name, family.type, tuple(labels), family.documentation)


def all_exposed() -> Mapping[str, Exposed]:
    """By name, of all parts."""
    return {metric.name: metric for text in EXPOSITIONS.values() for metric in exposed(text())}


def series(name: str, kind: str) -> set[str]:
    """The names that a query may use."""
    return {f"{name}_bucket", f"{name}_sum", f"{name}_count"} if kind == "histogram" else {name}


def value(text: str, name: str, **labels: str) -> float:
    """The one sample of that name with these labels."""
    samples = (s for family in text_string_to_metric_families(text) for s in family.samples)
    (found,) = (s.value for s in samples if s.name == name and labels.items() <= s.labels.items())
    return found
