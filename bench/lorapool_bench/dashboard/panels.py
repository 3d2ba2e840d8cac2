"""The panels of the dashboard: what each shows, by which queries. The one source of its JSON and of its picture."""

from typing import Final

from lorapool_bench.dashboard.layout import Panel, PanelRow, Query, Unit

_W: Final = "[$__rate_interval]"
_P: Final = 'pool=~"$pool"'


def _rate(metric: str, *by: str, where: str = _P) -> str:
    """Increase per second, summed up by labels."""
    grouped = f" by ({', '.join(by)})" if by else ""
    return f"sum{grouped} (rate({metric}{{{where}}}{_W}))"


def _quantile(q: float, metric: str, *by: str, where: str = _P) -> str:
    return f"histogram_quantile({q}, {_rate(f'{metric}_bucket', 'le', *by, where=where)})"


def _mean(metric: str, *by: str, where: str = _P) -> str:
    return f"{_rate(f'{metric}_sum', *by, where=where)} / {_rate(f'{metric}_count', *by, where=where)}"


def _now(metric: str, *by: str, where: str = _P) -> str:
    grouped = f" by ({', '.join(by)})" if by else ""
    return f"sum{grouped} ({metric}{{{where}}})"


def _number(title: str, expr: str, unit: Unit = Unit.PLAIN, about: str = "") -> Panel:
    return Panel(title, unit, (Query(expr),), about, is_number=True)


_GPU, _DEDICATED = "lorapool_operator_gpu_seconds_total", "lorapool_operator_dedicated_gpu_seconds_total"
_ONE_EACH: Final = "What one Deployment of one replica for each served adapter would hold."

ROWS: Final = (
    PanelRow(
        "Now",
        (
            _number("Images per second", _rate("lorapool_gateway_images_total", where=f'{_P}, outcome="ok"')),
            _number("Adapters served", _now("lorapool_operator_adapters", where=f'{_P}, reason="Served"')),
            _number("Pods ready", _now("lorapool_operator_pods", where=f'{_P}, state="ready"')),
            _number("Requests that wait", _now("lorapool_gateway_waiting_requests")),
            _number("GPUs in use", _rate(_GPU)),
            _number("GPUs with a Deployment each", _rate(_DEDICATED), about=_ONE_EACH),
        ),
    ),
    PanelRow(
        "Requests",
        (
            Panel(
                "Requests by outcome",
                Unit.PER_SECOND,
                (Query(_rate("lorapool_gateway_requests_total", "outcome"), "{{outcome}}"),),
                is_stacked=True,
            ),
            Panel(
                "Time to the answer",
                Unit.SECONDS,
                tuple(
                    Query(_quantile(q, "lorapool_gateway_stage_seconds", where=f'{_P}, stage="total"'), name)
                    for q, name in ((0.5, "median"), (0.95, "95%"), (0.99, "99%"))
                ),
            ),
            Panel(
                "Where the time of a request goes",
                Unit.SECONDS,
                (Query(_mean("lorapool_gateway_stage_seconds", "stage", where=f'{_P}, stage!="total"'), "{{stage}}"),),
                "Mean of each stage: wait in the gateway, then the stages of the pod.",
                is_stacked=True,
            ),
            Panel(
                "Requests that wait and run",
                Unit.PLAIN,
                (
                    Query(_now("lorapool_gateway_waiting_requests"), "held in the gateway"),
                    Query(_now("lorapool_runtime_requests_pending"), "wait in a pod"),
                    Query(_now("lorapool_runtime_requests_running"), "run"),
                ),
            ),
            Panel(
                "Images by pool",
                Unit.PER_SECOND,
                (Query(_rate("lorapool_gateway_images_total", "pool", "outcome"), "{{pool}} {{outcome}}"),),
            ),
            Panel(
                "Tries in another pod",
                Unit.PER_SECOND,
                (Query(_rate("lorapool_gateway_retries_total", "cause"), "{{cause}}"),),
                "Requests that one pod did not answer and that were given to another, by why.",
                is_stacked=True,
            ),
        ),
    ),
    PanelRow(
        "Adapters",
        (
            Panel(
                "Adapters by reason",
                Unit.PLAIN,
                (Query(_now("lorapool_operator_adapters", "reason"), "{{reason}}"),),
                is_stacked=True,
            ),
            Panel(
                "Adapter uses by tier",
                Unit.PER_SECOND,
                (Query(_rate("lorapool_runtime_adapter_uses_total", "tier"), "{{tier}}"),),
                "Where the weights were when a request named them: device is a hit.",
                is_stacked=True,
            ),
            Panel(
                "Time of a switch, 95%",
                Unit.SECONDS,
                (Query(_quantile(0.95, "lorapool_runtime_switch_seconds", "tier"), "from {{tier}}"),),
                "From weights in that tier to active adapters.",
            ),
            Panel(
                "How adapters are applied",
                Unit.PER_SECOND,
                (Query(_rate("lorapool_runtime_renders_total", "applied"), "{{applied}}"),),
                is_stacked=True,
            ),
            Panel(
                "Evictions by tier",
                Unit.PER_SECOND,
                (Query(_rate("lorapool_runtime_evictions_total", "tier"), "{{tier}}"),),
            ),
            Panel(
                "Memory of adapters",
                Unit.BYTES,
                (Query(_now("lorapool_runtime_adapter_bytes", "tier"), "{{tier}}"),),
            ),
        ),
    ),
    PanelRow(
        "Pods and GPUs",
        (
            Panel(
                "Pods by state",
                Unit.PLAIN,
                (Query(_now("lorapool_operator_pods", "state"), "{{state}}"),),
                is_stacked=True,
            ),
            Panel(
                "GPU-hours",
                Unit.HOURS,
                (
                    Query(f"{_now(_GPU)} / 3600", "in use"),
                    Query(f"{_now(_DEDICATED)} / 3600", "with a Deployment for each adapter"),
                ),
                _ONE_EACH,
            ),
            Panel(
                "The engine's share of time",
                Unit.SHARE,
                (Query(_rate("lorapool_runtime_busy_seconds_total", "pod"), "{{pod}}"),),
                "1: a pod makes images all the time.",
            ),
            Panel(
                "Cold starts by stage",
                Unit.SECONDS,
                (Query(f"max by (stage) (lorapool_runtime_cold_start_stage_seconds{{{_P}}})", "{{stage}}"),),
                "Of the slowest pod that runs.",
                is_stacked=True,
            ),
        ),
    ),
    PanelRow(
        "The operator",
        (
            Panel(
                "Time of a pass by stage, 95%",
                Unit.SECONDS,
                (Query(_quantile(0.95, "lorapool_operator_pass_stage_seconds", "stage", where=""), "{{stage}}"),),
            ),
            Panel(
                "Calls of the API server",
                Unit.PER_SECOND,
                (
                    Query(
                        _rate(
                            "lorapool_operator_api_requests_total",
                            "verb",
                            "resource",
                            where='verb!~"get|list|watch|dry-run"',
                        ),
                        "{{verb}} {{resource}}",
                    ),
                ),
                "Writes alone.",
                is_stacked=True,
            ),
            Panel(
                "Calls of the API server that fail",
                Unit.PER_SECOND,
                (
                    Query(
                        _rate(
                            "lorapool_operator_api_requests_total",
                            "verb",
                            "resource",
                            "code",
                            where='verb!="dry-run", code!~"2.."',
                        ),
                        "{{verb}} {{resource}} {{code}}",
                    ),
                ),
            ),
            Panel(
                "Oldest catalog of a pod",
                Unit.SECONDS,
                (Query(f"max by (pool) (lorapool_operator_catalog_lag_seconds{{{_P}}})", "{{pool}}"),),
                "For how long some pod has had another catalog than it shall have.",
            ),
            Panel(
                "Looks at sources",
                Unit.PER_SECOND,
                (
                    Query(
                        _rate("lorapool_operator_source_lookups_total", "source", "result", where=""),
                        "{{source}} {{result}}",
                    ),
                ),
            ),
            Panel(
                "Passes",
                Unit.PER_SECOND,
                (Query(_rate("lorapool_operator_passes_total", "result", where=""), "{{result}}"),),
                is_stacked=True,
            ),
        ),
    ),
)
