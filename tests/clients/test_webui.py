"""Clients of A1111's WebUI that are on PyPI, unmodified."""

from typing import Any

import pytest
from tests.clients.conftest import ServedGateway

from lorapool_api.kinds.serving import SchedulerName
from lorapool_api.wire.request import Upscaler


@pytest.mark.parametrize("client", ["webuiapi-0.9.11", "webuiapi-0.9.17"])
async def test_client_makes_pictures_and_fills_its_menus(client: str, gateway: ServedGateway) -> None:
    seen = await gateway.called_by_python("webui.py", client)
    assert seen["version"] == client.removeprefix("webuiapi-")
    text, several, larger, chosen, image, masked = gateway.pod.received
    assert (text.prompt, text.negative_prompt, text.seed, text.steps) == ("a cat", "a dog", 4, 5)
    assert [(use.key, use.scale) for use in text.adapters] == [("default/pixel", 0.5)]
    assert (text.width, text.guidance_scale, text.scheduler) == (64, 3.5, SchedulerName.EULER_A)
    assert seen["info"] == [4, [4], 64, 5]
    assert (several.images, seen["several"], several.scheduler) == (4, 4, SchedulerName.DPMPP_2M_KARRAS)
    assert larger.hires
    assert (larger.hires.scale, larger.hires.upscaler, larger.hires.strength) == (2, Upscaler.LATENT, 0.6)
    assert (chosen.adapters, seen["chosen"]) == ((), 1)
    assert (image.prompt, image.image, image.strength) == ("a hat", seen["sent"][0], 0.5)
    assert ([masked.image, masked.mask], seen["mask"]) == (seen["sent"], 1)
    assert seen["image"] == seen["text"]
    assert seen["png_info"] == ["a cat\nSteps: 5, Sampler: Euler a, Seed: 4", "a cat", "4"]
    check_menus(seen)
    check_errors(seen)


def check_menus(seen: dict[str, Any]) -> None:
    assert (seen["models"], seen["loras"], seen["current"]) == (["shapes"], ["ink", "pixel"], "shapes")
    assert {"DPM++ 2M Karras", "Euler a"} <= set(seen["samplers"])
    dicts = {name for name, kind in seen["menus"].items() if kind == "dict"}
    lists = {name for name, kind in seen["menus"].items() if kind == "list"}
    assert (dicts, len(lists) >= 7) == ({"options", "cmd_flags", "scripts", "embeddings"}, True)
    assert seen["progress"] == 0


def check_errors(seen: dict[str, Any]) -> None:
    found = {name: (seen[name]["status"], seen[name]["error"]) for name in ("unknown", "sampler", "script", "broken")}
    assert found == {
        "unknown": (404, "model_not_found"),
        "sampler": (400, "invalid_value"),
        "script": (400, "invalid_value"),
        "broken": (422, "adapter_unavailable"),
    }
    assert "there are Euler a, Euler" in seen["sampler"]["detail"]
    assert seen["script"]["detail"].startswith("script_name is not served here")
    assert (seen["other_key"]["status"], seen["other_key"]["error"]) == (401, "invalid_api_key")


async def test_client_that_checks_each_answer_against_the_webuis_formats(gateway: ServedGateway) -> None:
    seen = await gateway.called_by_python("sd_backend.py", "sd-backend-client")
    assert (seen["version"], seen["kind"]) == ("0.5.0", "A1111Webservice")
    text, image, masked, karras = gateway.pod.received
    assert (text.prompt, text.images, text.scheduler) == ("a cat", 2, SchedulerName.EULER_A)
    assert [(use.key, use.scale) for use in text.adapters] == [("default/pixel", 0.5)]
    assert (image.strength, image.mask) == (0.5, None)
    assert (image.image, masked.mask) != (None, None)
    assert karras.scheduler is SchedulerName.DPMPP_2M_KARRAS
    assert (seen["seeds"], seen["prompts"]) == ([4, 5], ["a cat <lora:pixel:0.5>"] * 2)
    assert seen["infotext"].splitlines()[:2] == ["a cat <lora:pixel:0.5>", "Negative prompt: a dog"]
    assert seen["text"][0] == seen["image"][0] == seen["mask"][0] == seen["karras"][0]
    assert (seen["lists"]["checkpoints"], seen["lists"]["loras"]) == (["shapes"], ["ink", "pixel"])
    assert {"euler_ancestral", "dpmpp_2m", "uni_pc"} <= set(seen["lists"]["samplers"])
    assert (seen["capabilities"], seen["progress"]) == ([False, False], 0)
    assert "status 401" in seen["other_key"]
    assert "did you mean 'pixel'?" in seen["unknown"]
