"""How kopf watches for us: settings, each with its reason."""

from collections.abc import Iterator
from json import JSONDecodeError
from typing import Any, Final

import kopf
from kopf._cogs.clients.errors import APIError
from kopf._cogs.clients.watching import WatchingError

from lorapool_api import names
from lorapool_operator.cluster.cache import OWNED_KINDS

WATCH_TIMEOUT_S: Final = 300
# kopf goes on after 410 in a watch alone, and gives up at anything else that the API server, or whoever is in between,
# says there. It has no public names for these.
FAILURES_OF_WATCHES: Final = (APIError, WatchingError, JSONDecodeError)


class _Endless:
    """Delays between tries of a request, without end: an API server that is away for minutes must not end the operator.

    kopf iterates over it anew for each request, so it must be iterable more than once.
    """

    def __iter__(self) -> Iterator[float]:
        yield from (0.2, 0.5, 1.0)
        while True:
            yield 2.0


def watch_settings() -> kopf.OperatorSettings:
    """Settings for watching only. Each line has its reason."""
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False  # events are sent by our own recorder
    settings.scanning.disabled = True  # watching CRDs would need more permissions; they are there before kopf starts
    settings.peering.standalone = True  # kopf's peering pauses both of two equals; a Lease decides who acts
    settings.networking.error_backoffs = _Endless()  # else a minute of 503 ends the operator
    settings.watching.server_timeout = WATCH_TIMEOUT_S  # an int: 300.0 is refused by the API server
    settings.watching.inactivity_timeout = 70  # notices an API server that froze
    settings.queueing.worker_limit = None  # a limit starves objects for minutes
    settings.queueing.idle_timeout = 0.5  # one task per object lives this long: saves memory in a burst
    settings.persistence.diffbase_storage = _NoDiffs()
    settings.persistence.progress_storage = _NoProgress()
    for kind in ("pods", "replicasets", "deployments", *(kind.plural for kind in OWNED_KINDS)):
        settings.watching.label_selectors[kind] = names.POOL_LABEL
    return settings


class _NoDiffs(kopf.DiffBaseStorage):
    """kopf copies every object deeply to find what changed since it was handled; half of its time, and nobody asks."""

    def build(self, **_: Any) -> kopf.BodyEssence:
        return kopf.BodyEssence({})

    def fetch(self, **_: Any) -> None:
        return None

    def store(self, **_: Any) -> None:
        """Nothing is kept on objects."""


class _NoProgress(kopf.ProgressStorage):
    """Handlers of events have no progress to keep."""

    def fetch(self, **_: Any) -> None:
        return None

    def store(self, **_: Any) -> None:
        """Nothing is kept on objects."""

    def purge(self, **_: Any) -> None:
        """Nothing is kept on objects."""

    def touch(self, **_: Any) -> None:
        """Nothing is kept on objects."""

    def clear(self, *, essence: kopf.BodyEssence) -> kopf.BodyEssence:
        return essence
