"""What a request gets that does not say, from the adapters of its stack."""

import pytest
from pydantic import ValidationError

from lorapool_api.kinds.serving import AdapterDefaults, FoundDefaults, SchedulerName, ServingLimits, TimestepSpacing
from lorapool_api.rules.defaults import NO_DEFAULTS, first_said, of_adapter, of_stack

LIMITS = ServingLimits(steps=50)
LCM = AdapterDefaults(steps=4, guidance_scale=1.0, scheduler=SchedulerName.LCM)
STYLE = AdapterDefaults(steps=30, guidance_scale=7.0, negative_prompt="blur")


def test_each_field_is_that_of_the_first_that_says_it() -> None:
    empty = AdapterDefaults(negative_prompt="", guidance_scale=0.0)
    assert first_said(None, empty, STYLE) == FoundDefaults(steps=30, guidance_scale=0.0, negative_prompt="")
    assert first_said() == NO_DEFAULTS


def test_the_object_goes_before_its_file() -> None:
    said = AdapterDefaults(steps=8)
    assert of_adapter(said, LCM, LIMITS) == FoundDefaults(steps=8, guidance_scale=1.0, scheduler=SchedulerName.LCM)


def test_a_file_asks_for_no_more_steps_than_the_pool_allows() -> None:
    assert of_adapter(None, AdapterDefaults(steps=51, guidance_scale=3), LIMITS) == FoundDefaults(
        steps=50, guidance_scale=3
    )
    assert of_adapter(AdapterDefaults(steps=51), None, LIMITS).steps == 51, "the operator refuses the object instead"


@pytest.mark.parametrize("stack", [(LCM, STYLE), (STYLE, LCM)])
def test_in_a_stack_the_adapter_of_the_fewest_steps_comes_first(stack: tuple[AdapterDefaults, ...]) -> None:
    expected = FoundDefaults(steps=4, guidance_scale=1.0, scheduler=SchedulerName.LCM, negative_prompt="blur")
    assert of_stack(stack) == expected


def test_of_equal_adapters_the_first_of_the_stack_decides() -> None:
    one, two = AdapterDefaults(guidance_scale=2), AdapterDefaults(guidance_scale=3, negative_prompt="x")
    assert of_stack([one, two]) == FoundDefaults(guidance_scale=2, negative_prompt="x")


def test_a_word_of_a_newer_version_says_nothing_where_it_was_found_and_is_refused_where_it_is_asked_for() -> None:
    newer = {"steps": 4, "scheduler": "flash", "timestepSpacing": "euler"}
    assert FoundDefaults.model_validate(newer) == FoundDefaults(steps=4)
    for odd in ({"scheduler": ["lcm"]}, {"scheduler": 3}):
        assert FoundDefaults.model_validate(odd) == NO_DEFAULTS
    with pytest.raises(ValidationError):
        AdapterDefaults.model_validate({"scheduler": "flash"})


def test_defaults_come_back_from_json_as_they_were() -> None:
    found = FoundDefaults(scheduler=SchedulerName.EULER, timestep_spacing=TimestepSpacing.TRAILING)
    assert FoundDefaults.model_validate_json(found.model_dump_json()) == found
    assert FoundDefaults.model_validate(found.manifest()) == found
