"""Adapters that everybody knows by name, and how they were trained to be sampled: pure.

No published file of LCM, Lightning, Hyper-SD or TCD says so in its metadata: its card does, for people. What the cards
say is written down here for the files' names, and nothing is guessed: a name that is not in the table has no defaults.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from lorapool_api.kinds.serving import FoundDefaults, SchedulerName, TimestepSpacing

_Make = Callable[[re.Match[str]], FoundDefaults]
# Hyper-SD's files that keep guidance are for 5 to 8.
_KEPT_GUIDANCE: Final = 5.0


@lru_cache(maxsize=1024)
def recognised(repo: str | None, file: str | None) -> FoundDefaults | None:
    """The defaults of the file; None: its names say nothing. Asked several times of each adapter that comes.

    Args:
        repo: `owner/name` on the Hub, where it comes from there.
        file: its name, with folders or without.
    """
    names = ((repo or "").partition("/")[2], (file or "").rpartition("/")[2].removesuffix(".safetensors"))
    found = (make(match) for name in names for pattern, make in _TABLE if (match := pattern.fullmatch(name)))
    return next(found, None)


def _lcm(_: re.Match[str]) -> FoundDefaults:
    return FoundDefaults(steps=4, guidance_scale=1.0, scheduler=SchedulerName.LCM)


def _tcd(_: re.Match[str]) -> FoundDefaults:
    return FoundDefaults(steps=4, guidance_scale=0.0, scheduler=SchedulerName.TCD)


def _lightning(name: re.Match[str]) -> FoundDefaults:
    return _trailing(SchedulerName.EULER, int(name["steps"]))


def _hyper(name: re.Match[str]) -> FoundDefaults:
    return _trailing(SchedulerName.DDIM, int(name["steps"]))


def _hyper_with_guidance(name: re.Match[str]) -> FoundDefaults:
    return _trailing(SchedulerName.DDIM, int(name["steps"]), _KEPT_GUIDANCE)


def _hyper_unified(_: re.Match[str]) -> FoundDefaults:
    return FoundDefaults(steps=1, guidance_scale=0.0, scheduler=SchedulerName.TCD)


def _trailing(scheduler: SchedulerName, steps: int, guidance_scale: float = 0.0) -> FoundDefaults:
    return FoundDefaults(
        steps=steps, guidance_scale=guidance_scale, scheduler=scheduler, timestep_spacing=TimestepSpacing.TRAILING
    )


def _named(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


# Repositories whose file has a name that says nothing, and files by their names wherever they lie.
_TABLE: Final[tuple[tuple[re.Pattern[str], _Make], ...]] = (
    (_named(r"lcm-lora-(sdxl|sdv1-5|ssd-1b)"), _lcm),
    (_named(r"tcd-(sdxl|sd15|sd21-base)-lora"), _tcd),
    (_named(r"sdxl_lightning_(?P<steps>[248])step_lora"), _lightning),
    (_named(r"hyper-(sdxl|sd15)-1steps?-lora"), _hyper_unified),
    (_named(r"hyper-(sdxl|sd15)-(?P<steps>[248])steps?-lora"), _hyper),
    (_named(r"hyper-(sdxl|sd15)-(?P<steps>8|12)steps?-cfg-lora"), _hyper_with_guidance),
)
