"""Passes requests on to pods: held until one is ready, tried again where another pod may do what one could not."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Protocol

import structlog

from lorapool_api.kinds.serving import Serving
from lorapool_api.names import adapter_of
from lorapool_api.wire.reply import GenerateReply
from lorapool_api.wire.request import GenerateRequest
from lorapool_common.observe.tracing import NO_TRACING, Role, Tracing
from lorapool_gateway.callers.terms import DEADLINE
from lorapool_gateway.cluster.snapshot import RuntimePod
from lorapool_gateway.errors import Busy, DeadlineTooSoon, GatewayError, NoPodReady, TimedOut
from lorapool_gateway.metrics import Metrics
from lorapool_gateway.pods.attempts import Cause, FailedAttempt, judge
from lorapool_gateway.pods.errors import PodError
from lorapool_gateway.pods.events import OnStep
from lorapool_gateway.pods.images import Image
from lorapool_gateway.pods.load import Loads
from lorapool_gateway.pods.passing import ComingImage
from lorapool_gateway.routing.limits import check
from lorapool_gateway.routing.request import ResolvedRequest
from lorapool_gateway.serve.demand import RequestCounts
from lorapool_gateway.serve.hold import Hold, InFlight
from lorapool_gateway.serve.signing import PictureSigning

log = structlog.get_logger(__name__)

# Of an encoded image: no format that is served takes more than four bytes for a pixel, base64 a third more.
_PIXEL_BYTES: Final = 6
_REPLY_BYTES: Final = 1 << 20
_SHORTEST_S: Final = 0.001


class Renders(Protocol):
    """Has images made by pods. Raises: PodError."""

    async def generate(
        self,
        pod: RuntimePod,
        request: GenerateRequest,
        max_bytes: int,
        on_step: OnStep | None = None,
        *,
        reads_pictures: bool = False,
        passes_on: bool = False,
    ) -> tuple[GenerateReply, tuple[Image, ...] | ComingImage]: ...


@dataclass(frozen=True)
class ServedReply:
    """A pod's reply, its images apart.

    Attributes:
        coming: the only image, where that is still on its way and `images` is empty; who has the reply closes it.
        wait_s: how long the request was held and passed around before that pod got it.
    """

    pool: str
    reply: GenerateReply
    images: tuple[Image, ...]
    wait_s: float
    total_s: float
    coming: ComingImage | None = None

    def close(self) -> None:
        """Let go of an image that nobody will read."""
        if self.coming is not None:
            self.coming.close()


class Proxy:
    """Serves requests whose pool and adapters are known."""

    def __init__(
        self,
        hold: Hold,
        loads: Loads,
        pods: Renders,
        metrics: Metrics,
        counts: RequestCounts,
        refresh: Callable[[RuntimePod], None] = lambda pod: None,
        tracing: Tracing = NO_TRACING,
        signing: PictureSigning | None = None,
    ) -> None:
        """
        Args:
            refresh: called with each pod that has answered: what is known of its load is old.
            signing: signs pictures; by default it has no key.
        """
        self._signing = signing or PictureSigning()
        self._tracing = tracing
        self._hold = hold
        self._loads = loads
        self._client = pods
        self._metrics = metrics
        self._counts = counts
        self._refresh = refresh

    async def generate(self, request: ResolvedRequest, on_step: OnStep | None = None) -> ServedReply:
        """Make the images within the time that the pool gives a request; `on_step` is told the steps of each try.

        Raises:
            GatewayError
        """
        serving = self._hold.pool(request.pool).spec.serving
        check(request.generate, serving)
        request = self._signing.checked(request, serving)
        flight = InFlight(request, asyncio.get_running_loop().time(), on_step)
        timeout_s: float = serving.request_timeout_seconds
        whose = f"of pool {request.pool}"
        if (within_s := request.terms.within_s) is not None and within_s < timeout_s:
            timeout_s, whose = within_s, f"of {DEADLINE}"
            flight.ends = flight.began + within_s
        try:
            try:
                async with asyncio.timeout(timeout_s):
                    served = await self._run(flight, _most_bytes(request.generate, serving))
            except TimeoutError:
                raise flight.obstacle or TimedOut(f"no image within the {timeout_s:g} s {whose}") from None
        except (Busy, DeadlineTooSoon, NoPodReady) as error:
            if error.retry_after_s is None:
                error.retry_after_s = self._hold.retry_after_s(flight)
            raise
        images = await self._signing.signed(request, serving, served.reply, served.images)
        return served if images is served.images else replace(served, images=images)

    async def _run(self, flight: InFlight, max_bytes: int) -> ServedReply:
        """Try until a pod has made the images."""
        loop = asyncio.get_running_loop()
        while True:
            with self._metrics.waiting(flight.pool), self._tracing.span("hold", Role.INTERNAL, pool=flight.pool):
                pod, ready = await self._hold.pod_for(flight)
            sent = loop.time()
            self._metrics.sent(pod.pool, self._loads.age_s(pod))
            ready = _on_terms(ready, flight, sent)
            try:
                with self._counts.running(pod.pool), self._loads.request(pod, flight.work):
                    reply, made = await self._ask(pod, ready, max_bytes, flight)
            except PodError as error:
                await self._on_failure(judge(error, pod), pod, flight)
            else:
                self._loads.mark_succeeded(pod)
                images, coming = ((), made) if isinstance(made, ComingImage) else (made, None)
                wait_s, total_s = sent - flight.began, loop.time() - flight.began
                return ServedReply(pod.pool, _by_adapter(reply), images, wait_s, total_s, coming)
            finally:
                self._refresh(pod)

    async def _ask(
        self, pod: RuntimePod, request: GenerateRequest, max_bytes: int, flight: InFlight
    ) -> tuple[GenerateReply, tuple[Image, ...] | ComingImage]:
        """One attempt. Raises: PodError."""
        with self._tracing.span("attempt", Role.CLIENT, pool=pod.pool, pod=pod.name) as span:
            try:
                status = self._loads.last_status(pod)
                return await self._client.generate(
                    pod,
                    request,
                    max_bytes,
                    flight.on_step,
                    reads_pictures=status is not None and status.reads_pictures,
                    passes_on=flight.request.passes_on,
                )
            except PodError as error:
                span.fail(type(error).__name__)
                raise

    async def _on_failure(self, failure: FailedAttempt | GatewayError, pod: RuntimePod, flight: InFlight) -> None:
        """Note it; raise when the request has been tried often enough, else wait until it may be tried again."""
        if isinstance(failure, GatewayError):
            raise failure
        self._note(failure.cause, pod)
        flight.attempts.failed(failure, pod)
        self._metrics.retried(flight.pool, failure.cause.value)
        log.info(
            "another try", pool=pod.pool, pod=pod.name, cause=failure.cause.value, error=failure.error.message[:500]
        )
        if failure.cause is Cause.ADAPTER and not self._hold.has_other(pod, flight):
            await self._hold.pause(flight, failure.error)

    def _note(self, cause: Cause, pod: RuntimePod) -> None:
        match cause:
            case Cause.FULL:
                self._loads.mark_full(pod)
            case Cause.LATE:
                pass  # another request may well be made in time
            case Cause.AWAY:
                self._loads.mark_unreachable(pod)
            case Cause.LOST:
                self._loads.mark_unreachable(pod)
                self._loads.mark_failed(pod)
            case Cause.BROKEN:
                self._loads.mark_failed(pod)


def _on_terms(request: GenerateRequest, flight: InFlight, now_s: float) -> GenerateRequest:
    """The request as a pod is told it: whose it is, how urgent, and what is left of its time."""
    terms = flight.request.terms
    said: dict[str, object] = {"caller": terms.caller, "priority": terms.priority}
    if flight.ends is not None:
        said["within_s"] = max(_SHORTEST_S, flight.ends - now_s)
    elif (terms.caller, terms.priority) == (request.caller, request.priority):
        return request
    return request.model_copy(update=said)


def _by_adapter(reply: GenerateReply) -> GenerateReply:
    """The reply with the adapters' own keys; which version of one it was is said by its sha256."""
    if not reply.adapters:
        return reply
    used = tuple(use.model_copy(update={"key": adapter_of(use.key)}) for use in reply.adapters)
    return reply.model_copy(update={"adapters": used})


def _most_bytes(request: GenerateRequest, serving: Serving) -> int:
    """What a pod's answer to the request may take."""
    return request.images * serving.limits.pixels * _PIXEL_BYTES + _REPLY_BYTES
