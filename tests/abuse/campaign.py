"""Attack after attack, several at a time, with slow clients and good requests between them."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import httpx

from tests.abuse.attacks.attack import Attack, Make
from tests.abuse.attacks.background import BACKGROUND
from tests.abuse.attacks.bodies import BODIES
from tests.abuse.attacks.fields import FIELDS
from tests.abuse.attacks.heads import HEADS
from tests.abuse.attacks.pictures import PICTURES
from tests.abuse.client import Answered, SlowClients, send
from tests.abuse.target import AttackedGateway, Size

ATTACKS: Final[tuple[Make, ...]] = (*HEADS, *PICTURES, *BODIES, *BACKGROUND, *FIELDS * 4)
_AT_ONCE: Final = 8
_GOOD_EVERY: Final = 25
_SLOW: Final = 200
# What the queue means: full, or nobody ready. All others from 500 on are defects.
_ALLOWED: Final = frozenset({503})
_HTTPX_S: Final = 60.0


def attack(seed: int, number: int) -> Attack:
    """The attack of that number."""
    rng = random.Random(f"{seed}/{number}")  # noqa: S311 -- no secret
    return rng.choice(ATTACKS)(rng)


@dataclass
class Outcome:
    """What became of the attacks.

    Attributes:
        findings: what is wrong, each with its attack's number.
        statuses: answers, by status; "none" where a connection was ended without one.
        good_s: how long each good request took.
        before, after: sizes, when a tenth of the attacks were over and when all were.
    """

    kinds: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)
    good_s: list[float] = field(default_factory=list)
    before: dict[str, Size] = field(default_factory=dict)
    after: dict[str, Size] = field(default_factory=dict)

    def grown_mib(self, process: str) -> float:
        return (self.after[process].resident_bytes - self.before[process].resident_bytes) / 2**20

    def more_files(self, process: str) -> int:
        return self.after[process].open_files - self.before[process].open_files


async def attack_with(
    target: AttackedGateway, seed: int, count: int, report_progress: Callable[[int], None] = lambda _: None
) -> Outcome:
    """Send the first `count` attacks of the seed; `report_progress` gets the number of each that is over."""
    outcome, numbers = Outcome(), iter(range(count))
    slow = SlowClients(target.host, target.port)
    async with httpx.AsyncClient(timeout=_HTTPX_S) as http:

        async def attacker() -> None:
            for number in numbers:
                made = attack(seed, number)
                _judge(outcome, number, made, await send(target.host, target.port, made))
                if number % _GOOD_EVERY == 0:
                    slow.drip()
                    await _good(outcome, target, http)
                if number == count // 10:
                    outcome.before = target.sizes()
                report_progress(number)

        await _good(outcome, target, http)
        await slow.connect(min(_SLOW, count))
        try:
            async with asyncio.TaskGroup() as tasks:
                for _ in range(_AT_ONCE):
                    tasks.create_task(attacker())
        finally:
            slow.close()
        await target.settled(http)
        await _good(outcome, target, http)
        await target.settled(http)
    outcome.after = target.sizes()
    return outcome


def _judge(outcome: Outcome, number: int, made: Attack, answered: Answered) -> None:
    outcome.kinds[made.kind] += 1
    outcome.statuses.update(str(status) for status in answered.statuses or ("none",))
    bad = [status for status in answered.statuses if status >= 500 and status not in _ALLOWED]
    if bad:
        outcome.findings.append(f"{number} ({made.kind}): {answered.text[:600]!r}")
    elif not answered.ended:
        outcome.findings.append(f"{number} ({made.kind}): no end of the connection in time")
    elif made.is_whole and not made.goes and not answered.statuses:
        outcome.findings.append(f"{number} ({made.kind}): a whole request got no answer")
    elif made.forbidden and made.forbidden in answered.text:
        outcome.findings.append(f"{number} ({made.kind}): a request within a request was read: {answered.text[:600]!r}")


async def _good(outcome: Outcome, target: AttackedGateway, http: httpx.AsyncClient) -> None:
    begin = time.monotonic()
    reply = await target.good(http)
    outcome.good_s.append(time.monotonic() - begin)
    if reply.status_code != httpx.codes.OK or not reply.content.startswith(b"\x89PNG"):
        outcome.findings.append(f"a good request: {reply.status_code} {reply.text[:300]}")
