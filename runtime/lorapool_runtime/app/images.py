"""From a request for images to a reply: the application behind `POST /v1/generate`."""

import asyncio
import base64
import secrets
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from lorapool_api import names
from lorapool_api.rules.recipes.asked import NotAllowedHere, writes_recipe
from lorapool_api.wire.reply import ErrorCode, GenerateReply, MadeImage, Timings, UsedAdapter
from lorapool_api.wire.request import AdapterUse, GenerateRequest, ImageFormat
from lorapool_api.wire.state import Tier
from lorapool_common.observe.collectors import installed_version
from lorapool_runtime.adapters.file import AdapterFile
from lorapool_runtime.app.encoded.encode import encode
from lorapool_runtime.app.encoded.recipe_text import RecipeTexts, no_texts, recipe_texts
from lorapool_runtime.app.load.meter import CostMeter
from lorapool_runtime.app.metrics import Metrics
from lorapool_runtime.app.pictures import SentPictures
from lorapool_runtime.app.recipe import check_blocks, complete
from lorapool_runtime.app.safety.checker import SafetyChecker
from lorapool_runtime.catalog.usage import Usage
from lorapool_runtime.catalog.weights import Weights
from lorapool_runtime.engine.contract import BaseInfo, RenderRequest, Step, no_steps
from lorapool_runtime.errors import RequestError
from lorapool_runtime.queue.dispatcher import Dispatcher
from lorapool_runtime.queue.entry import Admitted, Outcome
from lorapool_runtime.settings import Settings
from lorapool_runtime.undeclared.adapters import UndeclaredAdapters

# A seed that people can copy, and that every client's number type holds.
_RANDOM_SEEDS = 2**32


@dataclass(frozen=True)
class EncodedReply:
    """Encoded images of a request, and all that there is to say of them."""

    images: tuple[bytes, ...]
    reply: GenerateReply


class ImageGenerator:
    """Makes images with a warm base. Lives on the event loop.

    Attributes:
        usage: how long with which adapters.
    """

    def __init__(
        self,
        settings: Settings,
        check_ready: Callable[[], None],
        base: Callable[[], BaseInfo],
        weights: Weights,
        undeclared: UndeclaredAdapters,
        dispatcher: Dispatcher,
        metrics: Metrics,
        meter: CostMeter,
        checker: SafetyChecker,
        on_made: Callable[[float], None] = lambda took_s: None,
        on_queued: Callable[[], object] = lambda: None,
    ) -> None:
        """`check_ready` raises RequestError where the pod takes no request now; `base` is the one that is warm;
        `on_made` is told how long each request took that was answered; `on_queued` is called when one comes to wait."""
        self._settings = settings
        self._config = settings.config
        self._check_ready = check_ready
        self._base = base
        self._weights = weights
        self._undeclared = undeclared
        self._dispatcher = dispatcher
        self._metrics = metrics
        self._meter = meter
        self._checker = checker
        self._on_made = on_made
        self._on_queued = on_queued
        self._admitting: Counter[str] = Counter()
        self.usage = Usage()
        self._controls = settings.config.model.controls
        self._version = installed_version()
        self._namespace, _ = names.split_full_name(settings.config.pool)

    async def admit(self, wanted: GenerateRequest, beside: Sequence[memoryview] = ()) -> Admitted:
        """What to make, with files that are ready. `beside`: the pictures that came beside the request.

        Raises:
            RequestError
        """
        self._check_ready()
        terms = self._dispatcher.terms(wanted.caller, wanted.priority, wanted.within_s)
        self._dispatcher.check_room(self._weights.waiting, wanted.caller, self._admitting[wanted.caller])
        self._admitting[wanted.caller] += 1
        try:
            writes = self._writes_recipe(wanted)
            return Admitted(await self._admitted(wanted, beside), terms, writes)
        finally:
            self._admitting[wanted.caller] -= 1
            if not self._admitting[wanted.caller]:
                del self._admitting[wanted.caller]

    async def _admitted(self, wanted: GenerateRequest, beside: Sequence[memoryview]) -> RenderRequest[AdapterFile]:
        uses = [self._full(use) for use in wanted.adapters]
        for use in uses:
            self._metrics.named(self._weights.tier(use.key))
        await self._undeclared.admit(use.key for use in uses)
        await self._until_loaded([use.key for use in uses], wanted.within_s)
        base = self._base()
        check_blocks(uses, base)
        stack = self._weights.take(uses)
        defaults = self._weights.defaults(uses, self._config.serving.limits)
        seed = secrets.randbelow(_RANDOM_SEEDS)
        # SentPictures take their time to decode.
        serving = self._config.serving
        sent = SentPictures(beside)
        recipe = await asyncio.to_thread(complete, wanted, serving, seed, defaults, base.usual, self._controls, sent)
        # Nobody looks at a preview before it leaves.
        previews = 0 if self._checker.has_checker else wanted.previews
        return RenderRequest(recipe, stack, previews=previews)

    async def make(
        self,
        admitted: Admitted,
        format_: ImageFormat,
        on_step: Callable[[Step], None] = no_steps,
        *,
        in_json: bool = True,
    ) -> EncodedReply:
        """Wait for the images, and encode them.

        Args:
            in_json: whether the reply holds the images too, in base64.

        Raises:
            RequestError: see `Dispatcher.render` and `SafetyChecker.check`.
        """
        began = time.monotonic()
        request = replace(admitted.request, on_step=on_step)
        self._on_queued()
        outcome = await self._dispatcher.render(request, admitted.terms)
        start, rendering = time.monotonic(), outcome.rendering
        keys = [scaled.key for scaled in request.stack]
        self.usage.note(keys, rendering.busy_s)
        self._meter.rendered(request.recipe, keys, outcome)
        texts = self._texts(admitted, format_)
        made_images = zip(outcome.rendering.images, texts.in_files, strict=True)
        images = tuple([await asyncio.to_thread(encode, image, format_, text) for image, text in made_images])
        encode_s = time.monotonic() - start
        self._metrics.encoded(encode_s)
        unchecked = await self._checker.check(outcome.rendering.images, images, format_.media_type)
        reply = self._reply(request, outcome, format_, encode_s)
        data = [base64.b64encode(image).decode() if in_json else "" for image in images]
        said = zip(data, request.recipe.seeds, texts.in_reply, strict=True)
        made = tuple(MadeImage(data=base64_, seed=seed, recipe=text) for base64_, seed, text in said)
        self._on_made(time.monotonic() - began)
        update = {"images": made, "warnings": (*reply.warnings, *texts.warnings, *unchecked)}
        return EncodedReply(images, reply.model_copy(update=update))

    def _writes_recipe(self, wanted: GenerateRequest) -> bool:
        try:
            return writes_recipe(self._config.serving.provenance, wanted.metadata)
        except NotAllowedHere as error:
            raise RequestError(ErrorCode.INVALID_REQUEST, str(error)) from error

    def _texts(self, admitted: Admitted, format_: ImageFormat) -> RecipeTexts:
        if not admitted.writes_recipe:
            return no_texts(admitted.request.recipe.images)
        base, revision = self._config.model.source.label, self._base().revision
        return recipe_texts(admitted.request, format_, base, revision, self._version)

    async def _until_loaded(self, keys: Sequence[str], within_s: float | None) -> None:
        """Wait for files that are on their way; how long that took is a cost."""
        is_remote = any(self._weights.tier(key) is Tier.REMOTE for key in keys)
        if is_remote:
            self._on_queued()
        began = time.monotonic()
        longest_s = float(self._config.serving.request_timeout_seconds)
        await self._weights.until_loaded(keys, longest_s if within_s is None else min(longest_s, within_s))
        if is_remote and all(self._weights.tier(key) is not Tier.REMOTE for key in keys):
            self._meter.fetched(time.monotonic() - began)

    def _full(self, use: AdapterUse) -> AdapterUse:
        """A bare name means an adapter of the pool's own namespace."""
        if "/" in use.key:
            return use
        return use.model_copy(update={"key": names.full_name(self._namespace, use.key)})

    def _reply(
        self, admitted: RenderRequest[AdapterFile], outcome: Outcome, format_: ImageFormat, encode_s: float
    ) -> GenerateReply:
        rendering, recipe = outcome.rendering, admitted.recipe
        return GenerateReply(
            images=(),
            format=format_,
            width=recipe.width,
            height=recipe.height,
            base=self._config.model.source.label,
            base_revision=self._base().revision,
            adapters=tuple(
                UsedAdapter(key=scaled.key, sha256=scaled.adapter.sha256, scale=scaled.scale)
                for scaled in admitted.stack
            ),
            pod=self._settings.pod_name,
            timings=Timings(
                queue_s=outcome.queue_s,
                load_s=rendering.load_s,
                switch_s=rendering.switch_s,
                prompt_s=rendering.prompt_s,
                inference_s=rendering.inference_s,
                decode_s=rendering.decode_s,
                encode_s=encode_s,
            ),
            warnings=rendering.warnings,
        )
