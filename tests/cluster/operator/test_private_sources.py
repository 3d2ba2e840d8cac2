"""Tokens of sources under the chart's own rights: none, until a namespace lets the operator get one Secret."""

import shlex
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.cluster.operator.harness import Cluster, cluster
from tests.files import MODULE, lora_file
from tests.operator_hub import FakeHub, Repo

from lorapool_api.kinds.conditions import AdapterCondition, Reason, find
from lorapool_common.kube.resources import ADAPTERS, SECRETS, Resource

pytestmark = pytest.mark.plane
CANARY = "canary-91d3"
ROLE_BINDINGS = Resource("rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding")


@pytest.fixture
async def it(plane: Any, tmp_path: Path) -> AsyncIterator[Cluster]:
    async with FakeHub() as hub, cluster(plane, tmp_path, hub.url) as running:
        hub.repos["team/private"] = Repo({"style.safetensors": lora_file()}, token=CANARY)
        running.kubelet.template = {"modules": {"unet": {MODULE: (16, 32)}}}
        running.start_operator()
        await running.make_pool()
        yield running


async def make_secret(it: Cluster, name: str = "hub-token", **data: str) -> None:
    await it.kube.create(SECRETS, it.namespace, {"metadata": {"name": name}, "stringData": data})


def private(name: str = "hub-token", key: str = "token") -> dict[str, Any]:
    return {"source": {"hub": {"repo": "team/private"}, "tokenSecretRef": {"name": name, "key": key}}}


def run(plane: Any, commands: str) -> None:
    """As a person would, who pastes them."""
    for command in commands.split(" && "):
        program, *words = shlex.split(command)
        assert program == "kubectl"
        subprocess.run([plane.kubectl, "--kubeconfig", plane.kubeconfig, *words], check=True, timeout=60)


async def refusal(it: Cluster, reason: Reason, name: str = "pixel") -> str:
    adapter = await it.adapter_says(reason, name, timeout_s=60)
    condition = find(adapter.status.conditions, AdapterCondition.RESOLVED)
    assert condition is not None
    assert condition.status == "False"
    return condition.message


async def test_a_namespace_lets_the_operator_read_one_secret_and_takes_that_back(it: Cluster, plane: Any) -> None:
    await make_secret(it, token=f"{CANARY}\n", other=CANARY)
    await make_secret(it, "unrelated", token=CANARY)
    await it.make_adapter(**private())
    message = await refusal(it, Reason.SECRET_FORBIDDEN)
    run(plane, message.partition("allow it with: ")[2])
    await it.adapter_says("Served", timeout_s=60)

    await it.make_adapter("second", **private("unrelated"))
    await refusal(it, Reason.SECRET_FORBIDDEN, "second")

    (binding,) = [
        b["metadata"]["name"]
        for b in await it.kube.list(ROLE_BINDINGS, it.namespace)
        if b["metadata"]["name"].startswith("lorapool-reads")
    ]
    await it.delete(ROLE_BINDINGS, binding)
    await it.make_adapter("third", **private(key="other"))
    await refusal(it, Reason.SECRET_FORBIDDEN, "third")
    assert (await it.adapter_says("Served")).is_ready
    assert CANARY not in it.log()


async def test_what_is_wrong_with_a_secret_is_told_until_it_is_right(it: Cluster, plane: Any) -> None:
    grant = ["--verb=get", "--resource=secrets", "--resource-name=hub-token"]
    account = f"{it.namespace}:{it.namespace}-lorapool-operator"
    run(
        plane,
        f"kubectl -n {it.namespace} create role reads {' '.join(grant)} && "
        f"kubectl -n {it.namespace} create rolebinding reads --role=reads --serviceaccount={account}",
    )
    await it.make_adapter(**private())
    assert "there is no Secret hub-token" in await refusal(it, Reason.SECRET_NOT_FOUND)
    await make_secret(it, another="x")
    await it.edit(ADAPTERS, "pixel", {"spec": {"source": {"tokenSecretRef": {"key": "wrong"}}}})
    assert "no key 'wrong'" in await refusal(it, Reason.SECRET_NOT_FOUND)
    await it.edit(SECRETS, "hub-token", {"stringData": {"empty": " ", "stale": "not-a-user", "token": CANARY}})
    await it.edit(ADAPTERS, "pixel", {"spec": {"source": {"tokenSecretRef": {"key": "empty"}}}})
    await refusal(it, Reason.INVALID_SECRET)
    await it.edit(ADAPTERS, "pixel", {"spec": {"source": {"tokenSecretRef": {"key": "stale"}}}})
    assert "tokenSecretRef" in await refusal(it, Reason.SOURCE_NOT_FOUND)
    await it.edit(ADAPTERS, "pixel", {"spec": {"source": {"tokenSecretRef": {"key": "token"}}}})
    await it.adapter_says("Served", timeout_s=60)
