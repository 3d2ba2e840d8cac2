"""What of each request is active, and what its prompts say with it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from lorapool_api.wire.weighting.scale import at, starts
from lorapool_runtime.adapters.file import HostAdapter
from lorapool_runtime.engine.contract import Recipe, RenderRequest
from lorapool_runtime.engine.diffusers.activator import Activator
from lorapool_runtime.engine.diffusers.layers.switchboard import Stack
from lorapool_runtime.engine.diffusers.parts import PipelineParts
from lorapool_runtime.engine.diffusers.regions.masked import MaskedStack
from lorapool_runtime.engine.diffusers.render.passes.scale_changes import ScaleChanges
from lorapool_runtime.engine.diffusers.render.prompts import Encoded, same_texts, text_key
from lorapool_runtime.engine.diffusers.render.stopwatch import Stopwatch
from lorapool_runtime.engine.diffusers.weights.embeddings import token
from lorapool_runtime.engine.result import Applied

Requests = Sequence[RenderRequest[HostAdapter]]


@dataclass(frozen=True)
class Activated:
    """What is active for a run.

    Attributes:
        prompts: of each request.
        changes: what else is active at later steps.
    """

    prompts: Sequence[Encoded]
    applied: Applied
    changes: ScaleChanges


class Activation:
    """Activates the stacks of requests. For the engine's thread."""

    def __init__(self, parts: PipelineParts, activator: Activator) -> None:
        self._parts = parts
        self._activator = activator
        self._prompts = parts.prompts

    def of(self, requests: Requests, stacks: Sequence[Stack], pictures: int, watch: Stopwatch) -> Activated:
        """Activate what is at the first step, for all of these together.

        Args:
            stacks: of each request, on the device.
            pictures: that are wanted with them in all.

        Raises:
            AdapterError: there is no room. RecipeError: masks that cannot be.
        """
        masks = self._parts.masked(stacks[0], requests[0].recipe)
        if any(stack != stacks[0] for stack in stacks):
            return self._apart(requests, stacks, watch)
        if masks is not None:
            return self._masked(requests[0].recipe, stacks[0], masks, watch)
        return self._for_all(requests, stacks[0], pictures, watch)

    def _for_all(self, requests: Requests, stack: Stack, pictures: int, watch: Stopwatch) -> Activated:
        first, is_steady = _at(stack, 0), len(_starts([stack])) == 1
        applied = self._activator.for_all(first, requests[0].recipe, pictures, is_steady=is_steady)
        watch.lap("switch")
        prompts = self._encoded([r.recipe for r in requests], first, merge=applied is Applied.MERGED)
        watch.lap("prompt")
        changes = ScaleChanges(_starts([stack]), lambda share: self._activator.unmerged(_at(stack, share)))
        return Activated(prompts, applied, changes)

    def _masked(self, recipe: Recipe, stack: Stack, masks: MaskedStack, watch: Stopwatch) -> Activated:
        self._activator.unmerged(masks.text)
        prompts = self._encoded([recipe], masks.text, merge=False)
        watch.lap("prompt")

        def activate(share: float) -> None:
            self._activator.for_masked(masks.text, _at(masks.everywhere, share))

        activate(0)
        watch.lap("switch")
        return Activated(prompts, Applied.UNMERGED, ScaleChanges(_starts([stack]), activate, masks.regions_at))

    def _apart(self, requests: Requests, stacks: Sequence[Stack], watch: Stopwatch) -> Activated:
        prompts = self._prompts_apart(requests, [_at(stack, 0) for stack in stacks])
        watch.lap("prompt")

        def activate(share: float) -> Applied:
            each = [(_at(s, share), request.recipe.images) for request, s in zip(requests, stacks, strict=True)]
            return self._activator.for_rows(each)

        applied = activate(0)
        watch.lap("switch")
        return Activated(prompts, applied, ScaleChanges(_starts(stacks), activate))

    def _prompts_apart(self, requests: Requests, stacks: Sequence[Stack]) -> list[Encoded]:
        """What each prompt says with its own text encoders; those with the same ones are encoded together."""
        prompts: dict[int, Encoded] = {}
        for text, rows in same_texts(stacks).items():
            if text:
                self._activator.unmerged(stacks[rows[0]])
            else:
                self._activator.bare()
            made = self._encoded([requests[i].recipe for i in rows], stacks[rows[0]], merge=False)
            prompts |= dict(zip(rows, made, strict=True))
        return [prompts[i] for i in range(len(requests))]

    def _encoded(self, recipes: Sequence[Recipe], stack: Stack, *, merge: bool) -> list[Encoded]:
        rows = next((scaled.adapter.embeddings for scaled in stack if scaled.adapter.embeddings), {})
        tokens = tuple(token(i) for i in range(len(next(iter(rows.values()), ()))))
        with self._parts.embeddings.with_tokens(tokens, rows):
            return self._prompts.all_encoded(recipes, text_key(stack, merge=merge))


def _at(stack: Stack, share: float) -> Stack:
    """The stack as it is when that share of the steps is done."""
    return tuple(replace(scaled, scale=at(scaled.scale, share)) for scaled in stack)


def _starts(stacks: Sequence[Stack]) -> tuple[float, ...]:
    """From which shares of the steps on a scale of any of them is another."""
    return tuple(sorted({start for stack in stacks for scaled in stack for start in starts(scaled.scale)} | {0.0}))
