"""What a request leaves open is filled in by the adapters that it names, before it waits for a pod."""

from typing import Any

import pytest
from tests import make
from tests.unit.gateway.fakes import ready, snapshot

from lorapool_api.kinds.adapter import Resolved
from lorapool_api.wire.request import GenerateRequest, HiresPass
from lorapool_gateway.errors import BadRequest
from lorapool_gateway.http.models import find_model
from lorapool_gateway.routing.limits import check
from lorapool_gateway.routing.request import ImageRequest, NamedAdapter
from lorapool_gateway.routing.resolve import resolve

LCM = {"steps": 4, "guidanceScale": 1, "scheduler": "lcm"}
KNOWN = snapshot(
    adapters=(ready("fast", defaults=LCM), ready("style", defaults={"steps": 30, "negativePrompt": "blur"}))
)


def generate(model: str, *loras: str, **said: Any) -> GenerateRequest:
    asked = ImageRequest(GenerateRequest(prompt="a cat", **said), model, tuple(map(NamedAdapter, loras)))
    return resolve(asked, KNOWN).generate


def test_an_adapter_fills_in_what_the_request_does_not_say() -> None:
    request = generate("fast", guidance_scale=0.5)
    assert (request.steps, request.guidance_scale, request.scheduler) == (4, 0.5, "lcm")
    assert (request.negative_prompt, request.width) == (None, None), "the pod fills in the rest from the pool"


def test_the_adapter_of_few_steps_decides_for_a_stack() -> None:
    request = generate("style", "fast")
    assert (request.steps, request.scheduler, request.negative_prompt) == (4, "lcm", "blur")
    assert generate("style", "fast", negative_prompt="").negative_prompt == ""
    assert generate("shapes").steps is None


def test_a_request_without_steps_is_judged_by_those_of_its_adapter() -> None:
    pool = make.pool(serving={"defaults": {"steps": 5}, "limits": {"steps": 10}})
    check(generate("fast"), pool.spec.serving)
    with pytest.raises(BadRequest, match="steps 30"):
        check(generate("style"), pool.spec.serving)


def test_what_the_file_declares_fills_in_what_its_object_does_not_say() -> None:
    found = {"steps": 4, "guidanceScale": 0, "scheduler": "euler", "timestepSpacing": "trailing"}
    adapter = ready("lightning", defaults={"steps": 8})
    status = adapter.status.model_copy(update={"resolved": Resolved.model_validate({"defaults": found})})
    known = snapshot(adapters=(adapter.model_copy(update={"status": status}),))
    request = resolve(ImageRequest(GenerateRequest(prompt="a"), "lightning"), known).generate
    assert (request.steps, request.guidance_scale, request.scheduler, request.timestep_spacing) == (
        8,
        0.0,
        "euler",
        "trailing",
    )


def test_a_menu_sees_the_defaults() -> None:
    assert find_model("fast", KNOWN)["defaults"] == {"steps": 4, "guidance_scale": 1.0, "scheduler": "lcm"}
    assert "defaults" not in find_model("shapes", KNOWN)


def test_a_second_pass_is_judged_by_its_own_size() -> None:
    pool = make.pool(serving={"limits": {"pixels": 256 * 256}, "defaults": {"width": 128, "height": 128}})
    request = generate("shapes")
    check(request.model_copy(update={"hires": HiresPass(scale=2)}), pool.spec.serving)
    with pytest.raises(BadRequest, match="264 x 264"):
        check(request.model_copy(update={"hires": HiresPass(scale=2.1)}), pool.spec.serving)
