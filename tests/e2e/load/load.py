"""Clients that ask without a pause while something changes, and what became of each request."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx
from tests.e2e.cluster import Cluster, wait_until
from tests.e2e.images import Image, generate

MAX_REQUESTS = 10_000
ENOUGH = 5


@dataclass(frozen=True)
class Answered:
    """A request and its answer.

    Attributes:
        began_s: when it was sent, by `time.monotonic`.
        image: None where no answer came.
        failure: what came instead of an image.
    """

    model: str
    began_s: float
    image: Image | None
    failure: str = ""

    @property
    def sha256(self) -> str | None:
        """The file that made the image; None where there is none."""
        used = [] if self.image is None or self.failure else self.image.adapters
        return str(used[0]["sha256"]) if used else None

    @property
    def pool(self) -> str | None:
        return None if self.image is None else self.image.headers.get("x-lorapool-pool")


@dataclass
class Load:
    """Requests for each of the models, one after the other, at most `MAX_REQUESTS` for each."""

    cluster: Cluster
    models: Sequence[str]
    answered: list[Answered] = field(default_factory=list)

    @contextmanager
    def running(self) -> Iterator["Load"]:
        stop = threading.Event()
        threads = [threading.Thread(target=self._ask, args=(model, stop)) for model in self.models]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            stop.set()
            for thread in threads:
                thread.join()

    def _ask(self, model: str, stop: threading.Event) -> None:
        for _ in range(MAX_REQUESTS):
            if stop.is_set():
                return
            self.answered.append(_answered(self.cluster, model))

    def reach(self, model: str, holds: Callable[[Answered], bool], what: str) -> float:
        """Wait until several requests for the model that are sent from now on are answered like that; the time then."""
        began_s = time.monotonic()
        wait_until(
            lambda: sum(map(holds, self.of(model, began_s))) >= ENOUGH,
            f"{what} serves {model}",
            describe=lambda: self.of(model, began_s)[-ENOUGH:],
        )
        return time.monotonic()

    def of(self, model: str, since_s: float = 0.0) -> list[Answered]:
        """Requests for that model which were sent after that."""
        return [one for one in list(self.answered) if one.model == model and one.began_s > since_s]

    def failures(self, *models: str) -> list[str]:
        return [one.failure for one in self.answered if one.failure and one.model in models]


def _answered(cluster: Cluster, model: str) -> Answered:
    began_s = time.monotonic()
    try:
        image = generate(cluster, model, check=False)
    except httpx.HTTPError as error:
        return Answered(model, began_s, None, f"{type(error).__name__}: {error}")
    if image.status != 200 or not image.adapters:
        return Answered(model, began_s, image, f"{image.status}: {image.content[:1000].decode(errors='replace')}")
    return Answered(model, began_s, image)
