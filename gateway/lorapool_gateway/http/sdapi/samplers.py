"""Samplers and schedules by the names that A1111's menus have: pure."""

from typing import Any, Final

from lorapool_api.kinds.serving import SchedulerName, TimestepSpacing
from lorapool_api.rules.recipes.infotext import SAMPLERS
from lorapool_gateway.errors import BadRequest
from lorapool_gateway.http.fields.fields import short
from lorapool_gateway.http.fields.schedulers import scheduler as named

_SAMPLERS: Final = {shown: name for name, shown in SAMPLERS.items()}
_AUTOMATIC, _KARRAS, _TRAILING = "Automatic", "Karras", "SGM Uniform"
_NORMAL: Final = ("Uniform", "Normal")
SCHEDULES: Final = (_AUTOMATIC, *_NORMAL, _KARRAS, _TRAILING)


def sampler(name: str | None, schedule: str | None) -> tuple[SchedulerName | None, TimestepSpacing | None]:
    """What the two menus stand for together; None where they leave it open. Raises: BadRequest.

    `Automatic` is what the WebUI takes for the sampler: Karras' noise levels for DPM++ 2M.
    """
    wanted = (schedule or _AUTOMATIC).strip().lower().replace("_", " ")
    known = {shown.lower(): shown for shown in SCHEDULES}
    if wanted not in known:
        listed = ", ".join(SCHEDULES)
        raise BadRequest(f"no schedule is called {short(schedule or '')!r}; there are {listed}", param="scheduler")
    spacing = TimestepSpacing.TRAILING if known[wanted] == _TRAILING else None
    if not name or name == _AUTOMATIC:
        return None, spacing
    found = _sampler(name)
    if found is SchedulerName.DPMPP_2M and known[wanted] in (_AUTOMATIC, _KARRAS):
        return SchedulerName.DPMPP_2M_KARRAS, spacing
    if known[wanted] == _KARRAS and found is not SchedulerName.DPMPP_2M_KARRAS:
        raise BadRequest(f"{short(name)} is not served with Karras' noise levels", param="scheduler")
    return found, spacing


def _sampler(name: str) -> SchedulerName | None:
    try:
        return named(name)
    except BadRequest:
        listed = ", ".join(_SAMPLERS)
        raise BadRequest(f"no sampler is called {short(name)!r}; there are {listed}", param="sampler_name") from None


def sampler_rows() -> list[dict[str, Any]]:
    """`GET samplers`."""
    return [{"name": shown, "aliases": [name.value], "options": {}} for shown, name in _SAMPLERS.items()]


def schedule_rows() -> list[dict[str, Any]]:
    """`GET schedulers`."""
    return [
        {
            "name": shown.lower().replace(" ", "_"),
            "label": shown,
            "aliases": None,
            "default_rho": -1.0,
            "need_inner_model": False,
        }
        for shown in SCHEDULES
    ]
