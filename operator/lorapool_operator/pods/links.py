"""The pods of one pool: a link to each, none waiting for another."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from lorapool_api.wire.catalog import Catalog
from lorapool_api.wire.fleet import Assignment
from lorapool_api.wire.state import BaseReport
from lorapool_operator.pods.credentials import ReadGrants
from lorapool_operator.pods.delta import Deltas
from lorapool_operator.pods.link import ControlPorts, PodLink
from lorapool_operator.pods.report import ReportLog, SaidAlike
from lorapool_operator.seen.observed import PodReport
from lorapool_operator.seen.views import PodView

PUSHES_AT_ONCE: Final = 32


class PodLinks:
    """The links to the pods of one pool."""

    def __init__(
        self, control: ControlPorts, pushes: asyncio.Semaphore, on_change: Callable[[], None], grants: ReadGrants
    ) -> None:
        """`grants` reads what pods wait for of the Secrets that adapters name."""
        self._control = control
        self._pushes = pushes
        self._on_change = on_change
        self._grants = grants
        self._token: str | None = None
        self._links: dict[str, PodLink] = {}
        self._deltas = Deltas()
        self._alike = SaidAlike()
        self._catalog_keys: tuple[Catalog | None, frozenset[str]] = (None, frozenset())
        self.bases: dict[str, BaseReport] = {}

    def follow(self, pods: Iterable[PodView], token: str | None) -> None:
        """Open links to new pods, close those to pods that went, were replaced or may not be talked to.

        Args:
            token: by which the pods know each other; None: nobody is talked to.
        """
        wanted = {p.key: p for p in pods if p.is_running} if token else {}
        is_same, self._token = token == self._token, token
        for key, link in list(self._links.items()):
            pod = wanted.get(key)
            if pod is None or not is_same or (pod.uid, pod.ip) != (link.pod.uid, link.pod.ip):
                self._links.pop(key).stop()
        for key, pod in wanted.items():
            if key not in self._links and token:
                self._links[key] = self._open(pod, token)

    def _open(self, pod: PodView, token: str) -> PodLink:
        news = (self._on_change, self._knows_base, self._keep_base)
        # A call goes over the network as it is. Pods that verify its signature have no use for the token in it.
        shown = token if pod.mounts_token else ""
        said = ReportLog(alike=self._alike)
        link = PodLink(pod, shown, self._control, self._pushes, *news, self._grants, self._deltas, said)
        link.start()
        return link

    def _knows_base(self, revision: str) -> bool:
        return revision in self.bases

    def _keep_base(self, revision: str, report: BaseReport) -> None:
        """Remember the modules of a base, and of the others that some pod holds now."""
        held = {link.reported.base.revision for link in self._links.values() if link.reported.base}
        self.bases = {r: b for r, b in self.bases.items() if r in held} | {revision: report}

    def distribute(
        self,
        catalog: Catalog,
        adapters: int,
        assignments: Mapping[str, Assignment],
        sleep_after_s: float | None = None,
    ) -> None:
        """Let every pod have the catalog and its assignment, in a pool that so many adapters name. Waits for none.

        Args:
            sleep_after_s: after so long without a request a pod may sleep; None: never.
        """
        if self._catalog_keys[0] is not catalog:
            self._catalog_keys = (catalog, frozenset(e.key for e in catalog.entries))
            self._alike.keep_only(self._catalog_keys[1])
        _, keys = self._catalog_keys
        for pod, link in self._links.items():
            place = assignments.get(pod)
            timed = None if place is None else place.with_sleep(sleep_after_s)
            placed = None if timed is None or self._token is None else timed.with_token(self._token)
            link.set_desired(catalog, keys, adapters, placed)

    def reports(self) -> Mapping[str, PodReport]:
        """Pod's key -> what it said."""
        return {key: link.reported.report() for key, link in self._links.items()}

    def close(self) -> None:
        for link in self._links.values():
            link.stop()
        self._links.clear()
