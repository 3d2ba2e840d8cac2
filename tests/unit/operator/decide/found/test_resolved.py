"""What a status says of the file behind a source."""

from dataclasses import replace
from typing import Any

from tests import make

from lorapool_api.kinds.adapter import AdapterFormat, AdapterStatus
from lorapool_api.kinds.serving import FoundDefaults, SchedulerName
from lorapool_api.wire.state import AdapterFileFacts
from lorapool_operator.decide.adapters.checker import catalog_entry
from lorapool_operator.decide.adapters.resolved import resolved
from lorapool_operator.seen.resolution import Resolution
from lorapool_operator.sources.from_status import outcome_from_status
from lorapool_operator.sources.hub import instance_words

LCM_REPO = {"hub": {"repo": "latent-consistency/lcm-lora-sdxl"}}
LCM = FoundDefaults(steps=4, guidance_scale=1.0, scheduler=SchedulerName.LCM)
OF_HUB = Resolution(revision="c" * 40, file="w.safetensors", sha256="a" * 64, size_bytes=9, networks=("lora",))


def facts(**fields: Any) -> AdapterFileFacts:
    return AdapterFileFacts(sha256="c" * 64, size_bytes=9, rank=8, targets=3, format=AdapterFormat.KOHYA, **fields)


def test_a_file_that_is_known_by_name_says_so_in_the_status_and_to_the_pods() -> None:
    known = make.adapter(source=LCM_REPO)
    found = resolved(known, OF_HUB, [])
    assert found is not None
    assert (found.defaults, found.networks) == (LCM, ("lora",))
    assert catalog_entry(known, OF_HUB).recognised == LCM


def test_what_a_file_declares_goes_before_what_its_name_says() -> None:
    declared = FoundDefaults(steps=6)
    from_header = resolved(make.adapter(source=LCM_REPO), Resolution(size_bytes=9, defaults=declared), [])
    from_pods = resolved(make.adapter(source=LCM_REPO), OF_HUB, [facts(declared=declared)])
    assert from_header is not None
    assert from_pods is not None
    assert from_header.defaults == from_pods.defaults == LCM.model_copy(update={"steps": 6})


def test_pods_report_what_only_they_see_and_it_stays_while_they_are_away() -> None:
    by_path, said = make.adapter(), facts(networks=("dora",), trigger_words=("pixel",), declared=LCM)
    found = resolved(by_path, Resolution(), [None, said])
    assert found is not None
    assert (found.networks, found.trigger_words, found.defaults) == (("dora",), ("pixel",), LCM)
    seen = by_path.model_copy(update={"status": AdapterStatus(observed_generation=1, resolved=found)})
    assert resolved(seen, Resolution(), []) == found
    assert seen.trigger_words == ("pixel",)


def test_what_a_file_does_not_say_any_more_is_gone_when_it_was_looked_at_anew() -> None:
    before = resolved(make.adapter(), Resolution(), [facts(networks=("dora",), trigger_words=("a",), declared=LCM)])
    seen = make.adapter().model_copy(update={"status": AdapterStatus(observed_generation=1, resolved=before)})
    found = resolved(seen, Resolution(), [facts(networks=("lora",))])
    assert found is not None
    assert (found.networks, found.trigger_words, found.defaults) == (("lora",), None, None)


def test_what_a_merge_loses_is_what_any_pod_has_measured_and_stays_with_the_file() -> None:
    found = resolved(make.adapter(), Resolution(), [facts(), facts(merge_loss=0.25)])
    assert found is not None
    assert found.merge_loss == 0.25
    seen = make.adapter().model_copy(update={"status": AdapterStatus(observed_generation=1, resolved=found)})
    again = resolved(seen, Resolution(), [facts()])
    other = resolved(seen, Resolution(), [facts().model_copy(update={"sha256": "d" * 64})])
    assert again is not None
    assert other is not None
    assert (again.merge_loss, other.merge_loss) == (0.25, None)


def test_a_restart_forgets_none_of_it() -> None:
    of_hub = replace(OF_HUB, thumbnail="https://hub.example/a.png")
    found = resolved(make.adapter(source=LCM_REPO), of_hub, [])
    assert found is not None
    assert found.thumbnail == of_hub.thumbnail
    true = {"type": "Resolved", "status": "True", "reason": "Resolved", "message": "", "observedGeneration": 1}
    status = AdapterStatus.model_validate({"observedGeneration": 1, "resolved": found, "conditions": [true]})
    restarted = make.adapter(source=LCM_REPO).model_copy(update={"status": status})
    outcome = outcome_from_status(restarted)
    assert isinstance(outcome, Resolution)
    assert resolved(restarted, outcome, []) == found


def test_a_file_that_nobody_has_looked_at_has_no_facts_whatever_its_name() -> None:
    assert resolved(make.adapter(path="/a/lcm-lora-sdxl.safetensors"), Resolution(), []) is None


def test_the_cards_instance_prompt_calls_the_adapter() -> None:
    assert instance_words({"instance_prompt": "a photo of TOK, pixel"}) == ("a photo of TOK", "pixel")
    assert instance_words({"instance_prompt": ["x"]}) == instance_words(None) == ()
