"""How many repositories that nobody declared may be asked for, and which pool serves them."""

import pytest
from tests.unit.gateway.fakes import World
from tests.unit.gateway.serve.asked import trouble

from lorapool_api.kinds.conditions import Reason
from lorapool_api.wire.reply import ErrorCode
from lorapool_gateway.errors import TooManyLookups
from lorapool_gateway.serve.lookups import Lookups

REPO = "somebody/paper-cut-xl"


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def count(lookups: Lookups, caller: bytes, most: int = 100) -> int:
    """How many new repositories the caller may have looked up now."""
    for number in range(most):
        try:
            lookups.admit(caller, (f"{caller.hex()}/{number}",))
        except TooManyLookups:
            return number
    return most


def test_each_key_has_its_own_bound_and_all_have_one_together() -> None:
    lookups = Lookups(Clock(), of_one=3, of_all=5)
    assert [count(lookups, key) for key in (b"one", b"two", b"three")] == [3, 2, 0]


def test_the_bound_is_of_a_minute() -> None:
    clock = Clock()
    lookups = Lookups(clock, of_one=6, of_all=6)
    assert count(lookups, b"one") == 6
    clock.now_s += 20.0
    assert count(lookups, b"one") == 2


def test_where_everyone_may_ask_only_the_bound_on_all_counts() -> None:
    assert count(Lookups(Clock(), of_one=3, of_all=5), b"") == 5


def test_what_was_served_before_is_no_look_up() -> None:
    lookups = Lookups(Clock(), of_one=1, of_all=1)
    lookups.admit(b"one", (REPO,))
    lookups.served((REPO,), "default/b")
    for _ in range(9):
        lookups.admit(b"one", (REPO,))
    assert lookups.first((REPO,), ("default/a", "default/b")) == ["default/b", "default/a"]
    with pytest.raises(TooManyLookups):
        lookups.admit(b"one", ("a/b",))


WILLING = {"undeclared": "Hub"}
OPENAI = {"model": REPO, "prompt": "a cat", "response_format": "b64_json"}


async def test_it_is_served_in_every_shape(world: World) -> None:
    world.pool(adapters=WILLING)
    pod = world.pod()
    async with world.client() as client:
        hf = await client.post("/", json={"inputs": "a cat"}, headers={"lora": REPO})
        openai = await client.post("/v1/images/generations", json=OPENAI)
        stack = await client.post("/v1/images/generations", json=OPENAI | {"loras": [{"name": REPO, "scale": 0.5}]})
        models = await client.get("/v1/models")
    assert [reply.status_code for reply in (hf, openai, stack)] == [200] * 3
    assert [use.key for request in pod.received for use in request.adapters] == [f"hub:{REPO}"] * 3
    assert REPO not in models.text


async def test_the_pool_of_another_base_is_left_for_the_next_one(world: World) -> None:
    world.pool("a", adapters=WILLING)
    world.pool("b", adapters=WILLING)
    other = world.pod("pod-a", pool="default/a")
    right = world.pod("pod-b", pool="default/b")
    other.troubles.append(trouble(ErrorCode.ADAPTER_FAILED, reason=Reason.BASE_MODEL_MISMATCH))
    async with world.client() as client:
        for _ in range(2):
            assert (await client.post("/v1/images/generations", json=OPENAI)).status_code == 200
    assert (len(other.received), len(right.received)) == (1, 2), "which one it is, is remembered"


@pytest.mark.parametrize(
    ("reason", "status"),
    [(Reason.SOURCE_NOT_FOUND, 404), (Reason.NOT_A_LORA, 422), (Reason.BASE_MODEL_MISMATCH, 422)],
)
async def test_a_refusal_says_why(world: World, reason: Reason, status: int) -> None:
    world.pool(adapters=WILLING)
    world.pod().troubles.append(trouble(ErrorCode.ADAPTER_FAILED, reason=reason))
    async with world.client() as client:
        reply = await client.post("/v1/images/generations", json=OPENAI)
    assert reply.status_code == status
    assert "because" in reply.json()["error"]["message"]


async def test_too_many_of_them_are_refused_before_a_pod_is_asked(world: World) -> None:
    world.pool(adapters=WILLING)
    pod = world.pod()
    pod.troubles.extend([trouble(ErrorCode.ADAPTER_FAILED, reason=Reason.SOURCE_NOT_FOUND)] * 100)
    async with world.client() as client:
        codes = [
            (await client.post("/v1/images/generations", json=OPENAI | {"model": f"a/{number}"})).status_code
            for number in range(62)
        ]
    assert codes[:60] == [404] * 60
    assert 429 in codes[60:]
    assert len(pod.received) < 62
