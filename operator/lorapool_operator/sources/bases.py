"""Looks up which commits the repositories of base models are at, once for all pods of a pool.

Without that each pod resolves `main` when it starts, and after a push a restarted pod holds another base than its
sisters. The operator asks without credentials, because it reads no Secrets of pools: where a repository needs a token,
what the pods find stands. What was found is kept in the pool's status, so that neither a restart nor an edit of
something else asks again.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

import structlog

from lorapool_api.fetch.policy import SourceRefused
from lorapool_api.kinds.conditions import traits
from lorapool_api.kinds.pool import Pool
from lorapool_api.kinds.sources import HubModel
from lorapool_common.backoff import Backoff
from lorapool_operator.manifests.pinned import hub_sources, is_commit
from lorapool_operator.seen.resolution import BaseResolution
from lorapool_operator.seen.verdict import Verdict

log = structlog.get_logger(__name__)

RECHECK_S: Final = 300.0
_FIRST_RETRY_S: Final = 2.0

Source = tuple[str, str]


class FindsCommits(Protocol):
    """The Hub. Raises: SourceRefused."""

    async def commit(self, source: HubModel) -> str: ...


@dataclass
class _BaseRecord:
    """What is known about the repositories of one pool: (repository, revision) -> its commit."""

    wanted: Mapping[Source, HubModel]
    commits: dict[Source, str] = field(default_factory=dict)
    problem: Verdict | None = None
    was_asked: bool = False
    task: asyncio.Task[None] | None = None

    def cancel(self) -> None:
        if self.task is not None:
            self.task.cancel()


class Bases:
    """Base models to commits. `on_found` is called with the pool's key when something is known."""

    def __init__(self, hub: FindsCommits, on_found: Callable[[str], None]) -> None:
        self._hub = hub
        self._on_found = on_found
        self._records: dict[str, _BaseRecord] = {}

    def known(self, pool: Pool) -> BaseResolution:
        """What is known now. Starts nothing."""
        wanted = _unsettled(pool)
        record = self._records.get(pool.metadata.uid)
        if record is None or record.wanted != wanted:
            return BaseResolution(is_pending=bool(wanted))
        return BaseResolution(dict(record.commits), record.problem, is_pending=bool(wanted) and not record.was_asked)

    def resolve(self, pool: Pool) -> None:
        """Look up what is not known and not on its way."""
        wanted = _unsettled(pool)
        record = self._records.get(pool.metadata.uid)
        if record is None or record.wanted != wanted:
            self.forget(pool.metadata.uid)
            record = self._records[pool.metadata.uid] = _BaseRecord(wanted)
            if wanted:
                record.task = asyncio.create_task(self._ask(record, pool.key))

    def forget(self, uid: str) -> None:
        """The pool is gone, or asks for something else."""
        record = self._records.pop(uid, None)
        if record is not None:
            record.cancel()

    def close(self) -> None:
        for uid in list(self._records):
            self.forget(uid)

    async def _ask(self, record: _BaseRecord, pool: str) -> None:
        """Until everything is found. Nothing waits for it after the first round."""
        backoff = Backoff(_FIRST_RETRY_S, RECHECK_S)
        while True:
            record.problem = None
            missing = [(key, hub) for key, hub in record.wanted.items() if key not in record.commits]
            wait_s = max(await asyncio.gather(*(self._try(record, key, hub, backoff) for key, hub in missing)))
            record.was_asked = True
            self._on_found(pool)
            if not wait_s:
                return
            await asyncio.sleep(wait_s)

    async def _try(self, record: _BaseRecord, key: Source, source: HubModel, backoff: Backoff) -> float:
        """Seconds until another try is worth it; 0: it was found."""
        try:
            record.commits[key] = await self._hub.commit(source)
        except SourceRefused as error:
            log.info("the commit of a base model is not known", repo=source.repo, error=error.message)
            if traits(error.reason).is_transient:
                return backoff.next()
            if source.token_secret_ref is None:  # else the pods, which have the token, know better
                record.problem = Verdict(error.reason, f"the base model cannot be had: {error.message}")
            return RECHECK_S
        except Exception:  # an answer that nobody foresaw must not keep the pods from being made
            log.exception("a base model could not be looked up", repo=source.repo)
            return RECHECK_S
        return 0.0


def _unsettled(pool: Pool) -> dict[Source, HubModel]:
    """The repositories about which nothing is settled: neither by their own revision nor by the pool's status."""
    settled = {(s.repo, s.revision) for s in pool.status.model.sources} if pool.status.model else set()
    sources = {(hub.repo, hub.revision): hub for hub in hub_sources(pool.spec.model)}
    return {key: hub for key, hub in sources.items() if key not in settled and not is_commit(hub.revision)}
