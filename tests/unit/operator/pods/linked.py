"""The links to pods in memory."""

import asyncio
from dataclasses import dataclass, field

from tests.unit.operator import make as made
from tests.unit.operator.fake_pods import FakePod, FakePods
from tests.virtual_time import rest

from lorapool_api.wire.catalog import Catalog, CatalogEntry
from lorapool_api.wire.credentials import CredentialsGrant
from lorapool_api.wire.fleet import Assignment
from lorapool_api.wire.sources.basic import PathFile
from lorapool_operator.pods.links import PodLinks
from lorapool_operator.seen.observed import PodReport
from lorapool_operator.seen.views import PodView

IP = "10.0.0.1"


def catalog(*names: str) -> Catalog:
    return Catalog.of(CatalogEntry(key=f"default/{n}", generation=1, source=PathFile(path=f"/{n}")) for n in names)


@dataclass
class Pool:
    """The links to pods in memory, and how often they had news."""

    ports: FakePods = field(default_factory=FakePods)
    news: int = 0
    grants: dict[str, CredentialsGrant] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.links = PodLinks(self.ports, asyncio.Semaphore(8), self._note, self._read)
        self.followed: dict[str, PodView] = {}

    def _note(self) -> None:
        self.news += 1

    async def _read(self, keys: frozenset[str]) -> dict[str, CredentialsGrant]:
        return {key: self.grants[key] for key in keys if key in self.grants}

    def start(self, pod: FakePod, ip: str = IP, name: str = "p-1") -> FakePod:
        """A pod that runs, and is followed."""
        self.ports.pods[ip] = pod
        self.followed[name] = made.pod(name, ip=ip)
        self.links.follow(self.followed.values(), "token")
        return pod

    async def distribute(
        self, wanted: Catalog, assignment: Assignment | None = None, sleep_after_s: float | None = None
    ) -> None:
        assignments = {f"default/{name}": assignment for name in self.followed if assignment is not None}
        self.links.distribute(wanted, len(wanted.entries), assignments, sleep_after_s)
        await rest()

    def report(self, name: str = "p-1") -> PodReport:
        return self.links.reports()[f"default/{name}"]
