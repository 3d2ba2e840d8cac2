"""Where traces go, as gateway and operator learn it."""

from typing import Any

import pytest
from tests.unit.chart.helm import environment, one, refusal, render

from lorapool_operator.settings import Settings


@pytest.mark.parametrize("part", ["gateway", "operator"])
def test_traces_go_to_the_endpoint_and_nowhere_by_default(part: str) -> None:
    told = environment(one(render(), "Deployment", f"lorapool-{part}"))
    assert not [name for name in told if name.startswith("OTEL")]
    values: dict[str, Any] = {"tracing__endpoint": "http://otel:4318", "tracing__sampleRatio": 0.25}
    told = environment(one(render(**values), "Deployment", f"lorapool-{part}"))
    assert told["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://otel:4318"
    assert (told["OTEL_TRACES_SAMPLER"], told["OTEL_TRACES_SAMPLER_ARG"]) == ("parentbased_traceidratio", "0.25")


def test_the_operator_gives_it_on_to_runtime_pods() -> None:
    settings = Settings(otlp_endpoint="http://otel:4318", traces_ratio="0.25")
    assert dict(settings.traces_env) == {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://otel:4318",
        "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
        "OTEL_TRACES_SAMPLER_ARG": "0.25",
    }
    assert Settings().traces_env == ()


def test_what_is_no_address_is_refused() -> None:
    assert "tracing" in refusal(tracing__endpoint="otel-collector")
