"""How much work waits and runs in a pod: pure."""

from heapq import nlargest
from itertools import pairwise
from operator import itemgetter
from typing import Final

from lorapool_api.wire.state import MOST_CALLERS, Backlog, ServingCosts
from lorapool_runtime.app.load.meter import megapixel_steps
from lorapool_runtime.engine.result import Applied
from lorapool_runtime.queue.entry import QueueEntry, QueueLoad

# A device that has measured no switch yet.
_SWITCH_S: Final = 0.0


def backlog(load: QueueLoad, costs: ServingCosts, unlisted: int = 0) -> Backlog | None:
    """The work of the queue; None while nothing is measured.

    Args:
        unlisted: requests that wait for files: they are not in the queue yet, and count as the others do.
    """
    if not costs.step_s:
        return None
    running_s = [request_s(entry, costs) for entry in load.running]
    waiting_s = [(entry.keys, request_s(entry, costs)) for entry in load.waiting]
    left_s = max(0.0, sum(running_s) - load.running_s)
    stacks = [load.active, *dict.fromkeys(keys for keys, _ in waiting_s)]
    switches = sum(before != after for before, after in pairwise(stacks))
    all_s = [*running_s, *(seconds for _, seconds in waiting_s)]
    mean_s = sum(all_s) / len(all_s) if all_s else 0.0
    switch_s = min(costs.switch_s.values(), default=_SWITCH_S)
    before_s = left_s + unlisted * mean_s
    work_s = before_s + sum(seconds for _, seconds in waiting_s) + switches * switch_s
    if load.due is None:
        return Backlog(work_s=work_s, active=load.active)
    longest = nlargest(MOST_CALLERS, load.due.callers_s.items(), key=itemgetter(1))
    return Backlog(
        work_s=work_s,
        active=load.active,
        newcomer_s=before_s + load.due.newcomer_s,
        callers_s={caller: before_s + due_s for caller, due_s in longest},
    )


def request_s(entry: QueueEntry, costs: ServingCosts) -> float:
    """What the request takes once it has begun, without a switch, as far as is measured."""
    bare = Applied.NONE.value
    applied = [step_s for name, step_s in costs.step_s.items() if (name == bare) == (not entry.request.stack)]
    recipe = entry.request.recipe
    step_s = min(applied or costs.step_s.values())
    return megapixel_steps(recipe) * step_s + recipe.images * (costs.image_s or 0.0)
