"""Samplers by name: each request gets a fresh one, made from the pipeline's own configuration."""

from typing import Any, Final

import diffusers

from lorapool_api.serving import SchedulerName

_CLASSES: Final[dict[SchedulerName, tuple[str, dict[str, Any]]]] = {
    SchedulerName.EULER_A: ("EulerAncestralDiscreteScheduler", {}),
    SchedulerName.EULER: ("EulerDiscreteScheduler", {}),
    SchedulerName.DDIM: ("DDIMScheduler", {}),
    SchedulerName.DPMPP_2M: ("DPMSolverMultistepScheduler", {"use_karras_sigmas": False}),
    SchedulerName.DPMPP_2M_KARRAS: ("DPMSolverMultistepScheduler", {"use_karras_sigmas": True}),
    SchedulerName.HEUN: ("HeunDiscreteScheduler", {}),
    SchedulerName.LCM: ("LCMScheduler", {}),
    SchedulerName.PNDM: ("PNDMScheduler", {"skip_prk_steps": True}),
    SchedulerName.UNIPC: ("UniPCMultistepScheduler", {}),
}


def make_scheduler(own: Any, name: SchedulerName) -> tuple[Any, str | None]:
    """A scheduler of that name with the pipeline's own noise schedule.

    Args:
        own: the scheduler that the pipeline was loaded with; it is never used nor changed.

    Returns:
        The scheduler; and a warning where the pipeline cannot work with that one and gets its own kind instead.
    """
    class_name, options = _CLASSES[name]
    wanted = getattr(diffusers, class_name)
    # LCM samples another kind of model over the same schedule, and adapters bring it along.
    compatible = wanted is type(own) or wanted in own.compatibles or name is SchedulerName.LCM
    if compatible and hasattr(own, "init_noise_sigma"):
        return wanted.from_config(own.config, **options), None
    fallback = type(own)
    warning = f"scheduler {name} does not work with this base model; {fallback.__name__} was used"
    return fallback.from_config(own.config), warning
