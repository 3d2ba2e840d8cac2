"""Samplers under the names that clients use for them: pure."""

from collections.abc import Mapping
from typing import Final

from lorapool_api.kinds.serving import SchedulerName
from lorapool_gateway.errors import BadRequest
from lorapool_gateway.http.fields.fields import short

# Names that stand for exactly the same sampler, written as `_plain` writes them: ComfyUI's and k-diffusion's names, and
# classes of diffusers, which clients of the Hugging Face API send. Those of A1111 (`DPM++ 2M Karras`, `Euler a`) are
# ours but for their signs.
_ALIASES: Final[Mapping[str, SchedulerName]] = {
    "euler-ancestral": SchedulerName.EULER_A,
    "k-euler-a": SchedulerName.EULER_A,
    "k-euler-ancestral": SchedulerName.EULER_A,
    "k-euler": SchedulerName.EULER,
    "k-dpmpp-2m": SchedulerName.DPMPP_2M,
    "k-heun": SchedulerName.HEUN,
    "uni-pc": SchedulerName.UNIPC,
    "eulerancestraldiscretescheduler": SchedulerName.EULER_A,
    "eulerdiscretescheduler": SchedulerName.EULER,
    "ddimscheduler": SchedulerName.DDIM,
    "dpmsolvermultistepscheduler": SchedulerName.DPMPP_2M,
    "heundiscretescheduler": SchedulerName.HEUN,
    "lcmscheduler": SchedulerName.LCM,
    "pndmscheduler": SchedulerName.PNDM,
    "tcdscheduler": SchedulerName.TCD,
    "unipcmultistepscheduler": SchedulerName.UNIPC,
}
_KNOWN: Final[Mapping[str, SchedulerName]] = {name.value: name for name in SchedulerName} | dict(_ALIASES)


def scheduler(name: str | None) -> SchedulerName | None:
    """The sampler of that name, ours or that of A1111, ComfyUI or diffusers. Raises: BadRequest, for others."""
    if name is None:
        return None
    found = _KNOWN.get(_plain(name))
    if found is None:
        known = ", ".join(s.value for s in SchedulerName)
        raise BadRequest(f"no scheduler is called {short(name)!r}; there are {known}", param="scheduler")
    return found


def _plain(name: str) -> str:
    return "-".join(name.strip().lower().replace("++", "pp").replace("_", " ").replace("-", " ").split())
