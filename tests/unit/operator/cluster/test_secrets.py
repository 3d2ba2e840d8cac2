"""Secrets of sources: read by name when they are needed, and what is said where they cannot be."""

import asyncio
import base64
from typing import Any

import pytest
from tests.unit.operator.secrets import token_ref
from tests.virtual_time import elapse, now_s

from lorapool_api.fetch.policy import SourceRefused
from lorapool_api.kinds.conditions import Reason
from lorapool_api.wire.credentials import MAX_VALUE_CHARACTERS, CredentialsRef, token_of
from lorapool_common.kube.errors import ApiError
from lorapool_common.kube.resources import SECRETS, Manifest, Resource
from lorapool_operator.cluster.secrets import KEEP_S, MOST_KEPT, SecretReader

pytestmark = pytest.mark.virtual_time
FORBIDDEN = ApiError(
    403,
    "Forbidden",
    'secrets "hf" is forbidden: User "system:serviceaccount:lorapool-system:lorapool-operator" cannot get resource '
    '"secrets" in API group "" in the namespace "team"',
)


class Kube:
    """Secrets by name, or one error for all."""

    def __init__(self, **data: bytes) -> None:
        self.data: dict[str, bytes] = data
        self.error: ApiError | None = None
        self.takes_s = 0.1
        self.asked: list[tuple[str | None, str]] = []

    async def get(self, resource: Resource, namespace: str | None, name: str) -> Manifest:
        assert resource is SECRETS
        self.asked.append((namespace, name))
        await asyncio.sleep(self.takes_s)
        if self.error is not None:
            raise self.error
        return {"data": {key: base64.b64encode(value).decode() for key, value in self.data.items()}}


async def read(kube: Kube, ref: CredentialsRef | None = None) -> str:
    token = token_of(await SecretReader(kube, now_s).read(ref or token_ref(namespace="team")))
    assert token is not None
    return token.get_secret_value()


async def refusal(kube: Kube, ref: CredentialsRef | None = None) -> SourceRefused:
    with pytest.raises(SourceRefused) as error:
        await read(kube, ref)
    return error.value


async def test_a_token_is_read_without_the_line_break_that_files_end_with() -> None:
    kube = Kube(token=b"hf_abc\n", other=b"x")
    assert await read(kube) == "hf_abc"
    assert kube.asked == [("team", "hf")]


async def test_who_may_not_read_a_secret_says_what_to_run() -> None:
    kube = Kube()
    kube.error = FORBIDDEN
    refused = await refusal(kube)
    assert refused.reason is Reason.SECRET_FORBIDDEN
    for words in (
        "kubectl -n team create role lorapool-reads-hf --verb=get --resource=secrets --resource-name=hf",
        "create rolebinding lorapool-reads-hf --role=lorapool-reads-hf "
        "--serviceaccount=lorapool-system:lorapool-operator",
    ):
        assert words in refused.message


async def test_what_is_to_be_run_holds_no_command_of_whoever_named_the_secret() -> None:
    kube = Kube()
    kube.error = FORBIDDEN
    refused = await refusal(kube, token_ref("x;rm -rf $HOME", namespace="team"))
    assert "--resource-name='x;rm -rf $HOME'" in refused.message


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ApiError(404, "NotFound", "secrets hf not found"), Reason.SECRET_NOT_FOUND),
        (ApiError(0, "Away", "no answer"), Reason.SOURCE_UNAVAILABLE),
        (ApiError(500, "InternalError", "etcd"), Reason.SOURCE_UNAVAILABLE),
        (ApiError(429, "TooManyRequests", "later"), Reason.SOURCE_UNAVAILABLE),
    ],
)
async def test_each_error_of_the_api_server_has_a_reason(error: ApiError, reason: Reason) -> None:
    kube = Kube()
    kube.error = error
    assert (await refusal(kube)).reason is reason


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ({"other": b"x"}, Reason.SECRET_NOT_FOUND),
        ({"token": b""}, Reason.INVALID_SECRET),
        ({"token": b"a b"}, Reason.INVALID_SECRET),
        ({"token": b"canary\r\nX-Evil: 1"}, Reason.INVALID_SECRET),
        ({"token": "canäry".encode()}, Reason.INVALID_SECRET),
        ({"token": b"\xff\xfe"}, Reason.INVALID_SECRET),
        ({"token": b"c" * (MAX_VALUE_CHARACTERS + 1)}, Reason.INVALID_SECRET),
    ],
)
async def test_what_is_no_token_is_refused_and_not_shown(data: dict[str, bytes], reason: Reason) -> None:
    refused = await refusal(Kube(**data))
    assert refused.reason is reason
    assert not any(len(value) > 1 and repr(value)[2:-1] in refused.message for value in data.values())


async def test_all_keys_of_a_secret_are_taken_where_none_is_named() -> None:
    ref = CredentialsRef(namespace="team", secret="aws")
    found = await SecretReader(Kube(ID=b"1", KEY=b"two\nlines"), now_s).read(ref)
    assert {name: value.get_secret_value() for name, value in found.items()} == {"ID": "1", "KEY": "two\nlines"}


@pytest.mark.parametrize("data", [{}, {f"k{i}": b"x" for i in range(40)}, {f"k{i}": b"x" * 9000 for i in range(9)}])
async def test_a_secret_of_no_or_too_much_is_refused(data: dict[str, Any]) -> None:
    assert (await refusal(Kube(**data), CredentialsRef(namespace="team", secret="aws"))).reason is Reason.INVALID_SECRET


async def test_a_new_value_counts_within_a_minute_and_many_askers_read_once() -> None:
    kube = Kube(token=b"old")
    reader, ref = SecretReader(kube, now_s), token_ref()
    await asyncio.gather(*(reader.read(ref) for _ in range(100)))
    kube.data = {"token": b"new"}
    assert token_of(await reader.read(ref)) == token_of(await reader.read(ref))
    assert len(kube.asked) == 1
    await elapse(KEEP_S)
    token = token_of(await reader.read(ref))
    assert token is not None
    assert token.get_secret_value() == "new"
    assert len(kube.asked) == 2


async def test_a_refusal_is_not_kept() -> None:
    kube = Kube(token=b"t")
    kube.error = FORBIDDEN
    reader = SecretReader(kube, now_s)
    with pytest.raises(SourceRefused):
        await reader.read(token_ref())
    kube.error = None
    assert await reader.read(token_ref())


async def test_no_more_than_some_are_kept() -> None:
    kube = Kube(token=b"t")
    reader = SecretReader(kube, now_s)
    await asyncio.gather(*(reader.read(token_ref(f"s{i}")) for i in range(MOST_KEPT + 1)))
    await reader.read(token_ref(f"s{MOST_KEPT}"))
    assert len(kube.asked) == MOST_KEPT + 1
    await reader.read(token_ref("s0"))
    assert len(kube.asked) == MOST_KEPT + 2


async def test_one_who_gives_up_does_not_take_it_from_the_others() -> None:
    reader = SecretReader(Kube(token=b"t"), now_s)
    first, second = (asyncio.create_task(reader.read(token_ref())) for _ in range(2))
    await elapse(0.05)
    first.cancel()
    assert await second
