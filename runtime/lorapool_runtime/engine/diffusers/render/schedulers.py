"""Samplers by name: each request gets a fresh one, made from the pipeline's own configuration."""

import inspect
from typing import Any, Final

import diffusers

from lorapool_api.kinds.serving import SchedulerName, TimestepSpacing

_CLASSES: Final[dict[SchedulerName, tuple[str, dict[str, Any]]]] = {
    SchedulerName.EULER_A: ("EulerAncestralDiscreteScheduler", {}),
    SchedulerName.EULER: ("EulerDiscreteScheduler", {}),
    SchedulerName.DDIM: ("DDIMScheduler", {}),
    SchedulerName.DPMPP_2M: ("DPMSolverMultistepScheduler", {"use_karras_sigmas": False}),
    SchedulerName.DPMPP_2M_KARRAS: ("DPMSolverMultistepScheduler", {"use_karras_sigmas": True}),
    SchedulerName.HEUN: ("HeunDiscreteScheduler", {}),
    SchedulerName.LCM: ("LCMScheduler", {}),
    SchedulerName.PNDM: ("PNDMScheduler", {"skip_prk_steps": True}),
    SchedulerName.TCD: ("TCDScheduler", {}),
    SchedulerName.UNIPC: ("UniPCMultistepScheduler", {}),
}
# Bases that learned to go straight from noise to picture have a sampler of their own, which takes Euler's steps.
_FLOW: Final = "FlowMatchEulerDiscreteScheduler"
# They sample another kind of model over the same schedule, and adapters bring it along; both take their steps from
# those that the adapter was taught, whatever the spacing.
_DISTILLED: Final = frozenset({SchedulerName.LCM, SchedulerName.TCD})
# The share of noise that TCD's steps add anew: the sampler's default; the pipelines' is none (arXiv:2402.19159).
_TCD_ETA: Final = 0.3


def make_scheduler(
    own: Any,
    name: SchedulerName | None,
    spacing: TimestepSpacing | None = None,
    usual: SchedulerName | None = None,
) -> tuple[Any, str | None]:
    """A scheduler of that name with the pipeline's own noise schedule.

    Args:
        own: the scheduler that the pipeline was loaded with; it is never used nor changed.
        name: None: `usual` where the base can be sampled so, else the base's own kind.
        spacing: None: as `own` has it.
        usual: of bases of this family; None: the base's own kind.

    Returns:
        The scheduler; and a warning where not all of that is possible with this base.
    """
    wanted = name or usual
    kind, options = _kind(own, wanted) if wanted else (None, {})
    warning = None
    if kind is None:
        kind = type(own)
        warning = name and f"scheduler {name} does not work with this base model; {kind.__name__} was used"
    if spacing is None:
        return kind.from_config(own.config, **options), warning
    if name in _DISTILLED or "timestep_spacing" not in inspect.signature(kind).parameters:
        unused = f"timestep spacing {spacing} has no effect with {kind.__name__}"
        return kind.from_config(own.config, **options), warning or unused
    return kind.from_config(own.config, **options, timestep_spacing=spacing.value), warning


def eta(name: SchedulerName | None) -> dict[str, float]:
    """What a pipeline's call is told of the noise that steps add anew, where its own default is not the sampler's."""
    return {"eta": _TCD_ETA} if name is SchedulerName.TCD else {}


def _kind(own: Any, name: SchedulerName) -> tuple[Any, dict[str, Any]]:
    """The class that samples this base by that name, and its options; None where there is none."""
    class_name, options = _CLASSES[name]
    wanted = getattr(diffusers, class_name)
    if type(own).__name__ == _FLOW and name is SchedulerName.EULER:
        return type(own), {}
    compatible = wanted is type(own) or wanted in own.compatibles or name in _DISTILLED
    return (wanted, options) if compatible and hasattr(own, "init_noise_sigma") else (None, {})
