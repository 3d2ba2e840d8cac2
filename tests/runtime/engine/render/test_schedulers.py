"""Samplers for adapters of few steps, and what a base takes that nobody chose a sampler for."""

from typing import Any

import numpy as np
import pytest
import torch
from diffusers import EulerDiscreteScheduler, FlowMatchEulerDiscreteScheduler, TCDScheduler
from tests import tiny
from tests.runtime.ask import Pixels, distance, image, recipe, rendered, request

from lorapool_api.kinds.serving import SchedulerName, TimestepSpacing
from lorapool_runtime.engine.diffusers.engine import DiffusersEngine
from lorapool_runtime.engine.diffusers.render.schedulers import make_scheduler
from lorapool_runtime.errors import RecipeError


def by_diffusers(reference: Any, scheduler: Any, **more: Any) -> Pixels:
    wanted = recipe()
    reference.scheduler = scheduler
    with torch.inference_mode():
        made = reference(
            prompt=wanted.prompt,
            width=wanted.width,
            height=wanted.height,
            num_inference_steps=wanted.steps,
            guidance_scale=wanted.guidance_scale,
            generator=torch.Generator().manual_seed(wanted.seed),
            **more,
        )
    return np.asarray(made.images[0])


@pytest.mark.parametrize("spacing", list(TimestepSpacing))
def test_steps_are_spread_as_the_request_says(
    engine: DiffusersEngine, reference: Any, spacing: TimestepSpacing
) -> None:
    scheduler = EulerDiscreteScheduler.from_config(reference.scheduler.config, timestep_spacing=spacing.value)
    mine = image(engine, scheduler=SchedulerName.EULER, timestep_spacing=spacing)
    assert distance(mine, by_diffusers(reference, scheduler)) <= 1
    if spacing is not TimestepSpacing.LEADING:  # the base's own
        assert distance(mine, image(engine, scheduler=SchedulerName.EULER)) > 1


def test_tcd_adds_as_much_noise_as_its_own_default(engine: DiffusersEngine, reference: Any) -> None:
    scheduler = TCDScheduler.from_config(reference.scheduler.config)
    mine = image(engine, scheduler=SchedulerName.TCD)
    assert distance(mine, by_diffusers(reference, scheduler, eta=0.3)) <= 1


@pytest.mark.parametrize("name", [SchedulerName.LCM, SchedulerName.TCD])
def test_a_spacing_that_has_no_effect_is_said(engine: DiffusersEngine, name: SchedulerName) -> None:
    made = rendered(engine, request(scheduler=name, timestep_spacing=TimestepSpacing.TRAILING))
    assert "timestep spacing trailing has no effect" in made.warnings[0]


def test_a_base_of_flow_matching_takes_its_own_steps_where_nobody_chose() -> None:
    own = FlowMatchEulerDiscreteScheduler(shift=3.0)
    for name, warned in ((None, False), (SchedulerName.EULER, False), (SchedulerName.DDIM, True)):
        made, warning = make_scheduler(own, name)
        assert type(made) is FlowMatchEulerDiscreteScheduler
        assert made.config.shift == 3.0
        assert bool(warning) is warned


@pytest.mark.parametrize("name", list(SchedulerName))
def test_every_scheduler_that_the_api_names_works(engine: DiffusersEngine, name: SchedulerName) -> None:
    for steps in (1, 3):
        made = rendered(engine, request(scheduler=name, steps=steps))
        assert made.warnings == ()
        assert np.asarray(made.images[0]).shape == (tiny.SIZE, tiny.SIZE, 3)


def test_steps_that_a_scheduler_cannot_do_are_the_requests_fault(engine: DiffusersEngine) -> None:
    with pytest.raises(RecipeError, match="steps"):
        rendered(engine, request(scheduler=SchedulerName.LCM, steps=99))
