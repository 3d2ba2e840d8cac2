"""A user who does one thing after the other, whatever comes of it; the same seed does the same."""

import random
import signal
from collections.abc import Awaitable, Callable
from typing import Final

from tests.cluster.operator.faults.user.world import World

from lorapool_common.kube.resources import PODS

NAMES: Final = tuple(f"n{number}" for number in range(10))
FILES: Final = ("one", "two", "three", "four", "one", "two", "three", "four", "model", "missing")
POOLS: Final = ("shapes", "other")
MOST: Final = 8
MOST_PODS: Final = 2


class RandomUser:
    """Says what it does: `log` has a line for each action."""

    def __init__(self, world: World, seed: int) -> None:
        self._world = world
        self._random = random.Random(seed)  # noqa: S311 -- not for secrets
        self.log: list[str] = []
        self._actions: list[tuple[int, Callable[[], Awaitable[str]]]] = [
            (5, self._create),
            (6, self._edit),
            (3, self._delete),
            (2, self._rename),
            (4, self._suspend),
            (2, self._move),
            (1, self._scale),
            (1, self._delete_pod),
            (2, self._kill_container),
            (2, self._kill_operator),
            (1, self._cut_connections),
        ]

    async def act(self) -> float:
        """One action; how long to wait before the next."""
        weights = [weight for weight, _ in self._actions]
        (action,) = self._random.choices([action for _, action in self._actions], weights)
        self.log.append(f"{self._world.now_s():6.2f} {await action()}")
        return self._random.choice((0.0, 0.05, 0.2, 0.6))

    def _some(self) -> str | None:
        names = sorted(self._world.model.living)
        return self._random.choice(names) if names else None

    async def _create(self) -> str:
        free = [name for name in NAMES if name not in self._world.model.living]
        if len(self._world.model.living) >= MOST or not free:
            return "nothing: there are enough"
        name, pool, file = self._random.choice(free), self._random.choice(POOLS), self._random.choice(FILES)
        done = await self._world.create(name, pool, file)
        return f"create {name} in {pool} from {file}: {done}"

    async def _edit(self) -> str:
        file = self._random.choice(FILES)
        if (name := self._some()) is None:
            return "nothing: there is none to edit"
        await self._world.edit(name, file)
        return f"edit {name} to {file}"

    async def _delete(self) -> str:
        if (name := self._some()) is None:
            return "nothing: there is none to delete"
        await self._world.delete(name)
        return f"delete {name}"

    async def _rename(self) -> str:
        if (name := self._some()) is None:
            return "nothing: there is none to rename"
        declared = self._world.model.living[name]
        await self._world.delete(name)
        new = self._random.choice([other for other in NAMES if other not in self._world.model.living])
        done = await self._world.create(new, declared.pool, declared.file)
        return f"rename {name} to {new}: {done}"

    async def _suspend(self) -> str:
        if (name := self._some()) is None:
            return "nothing: there is none to suspend"
        suspended = self._world.model.living[name].off_s is None
        await self._world.suspend(name, suspended=suspended)
        return f"{'suspend' if suspended else 'resume'} {name}"

    async def _move(self) -> str:
        pool = self._random.choice(POOLS)
        if (name := self._some()) is None:
            return "nothing: there is none to move"
        await self._world.move(name, pool)
        return f"move {name} to {pool}"

    async def _scale(self) -> str:
        replicas = self._random.randint(1, MOST_PODS)
        await self._world.scale("shapes", replicas)
        return f"scale shapes to {replicas}"

    async def _delete_pod(self) -> str:
        names = sorted(self._world.kubelet.pods)
        if not names:
            return "nothing: there is no pod"
        name = self._random.choice(names)
        await self._world.kube.remove(PODS, self._world.namespace, name)
        return f"delete pod {name}"

    async def _kill_container(self) -> str:
        pods = sorted(self._world.kubelet.pods.items())
        how = self._random.choice((signal.SIGKILL, signal.SIGTERM))
        if not pods:
            return "nothing: there is no pod"
        name, pod = self._random.choice(pods)
        await pod.kill(how)
        return f"{how.name} for the container of {name}"

    async def _kill_operator(self) -> str:
        how = self._random.choice((signal.SIGKILL, signal.SIGTERM))
        await self._world.restart_operator(how)
        return f"{how.name} for the operator"

    async def _cut_connections(self) -> str:
        self._world.api.cut()
        return "cut the operator's connections"
