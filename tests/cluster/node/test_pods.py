"""What the node makes of a pod, seen through the apiserver."""

import json

import httpx
from tests.cluster.namespace import Namespace, container_status, is_ready

SERVE = "from http.server import *; import os, sys; sys.stdout.write('hello\\n'); "
SERVE += "HTTPServer((os.environ['POD_IP'], 8080), SimpleHTTPRequestHandler).serve_forever()"
POD_IP = {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}


def server(**fields: object) -> dict[str, object]:
    """A container that serves its working directory at the pod's address."""
    return {"env": [POD_IP], "ports": [{"name": "http", "containerPort": 8080}], **fields}


async def test_a_pod_becomes_ready_at_an_address_of_its_own(namespace: Namespace) -> None:
    probe = {"httpGet": {"port": "http", "path": "/hostname"}, "periodSeconds": 1}
    for name in ("one", "two"):
        await namespace.run(name, SERVE, container=server(workingDir="/etc", readinessProbe=probe))

    pods = [await namespace.wait(f"pods/{name}", is_ready) for name in ("one", "two")]

    addresses = {pod["status"]["podIP"] for pod in pods}
    assert len(addresses) == 2
    assert all(address.startswith("127.") for address in addresses)
    async with httpx.AsyncClient(trust_env=False) as client:
        for address in addresses:
            assert (await client.get(f"http://{address}:8080/hostname")).status_code == 200


async def test_an_unready_pod_runs_but_is_not_ready(namespace: Namespace) -> None:
    probe = {"httpGet": {"port": "http", "path": "/no-such-file"}, "periodSeconds": 1}
    await namespace.run("unready", SERVE, container=server(readinessProbe=probe))

    pod = await namespace.wait("pods/unready", lambda p: container_status(p).get("started"))

    assert pod["status"]["phase"] == "Running"
    assert not is_ready(pod)
    [ready] = [c for c in pod["status"]["conditions"] if c["type"] == "Ready"]
    assert ready["reason"] == "ContainersNotReady"


async def test_what_a_container_writes_is_its_log(namespace: Namespace) -> None:
    await namespace.run("talk", "print('one'); print('two')", restartPolicy="Never")
    await namespace.ended("talk")

    assert await namespace.log("talk") == "one\ntwo\n"
    assert await namespace.log("talk", tailLines="1") == "two\n"


async def test_a_log_is_followed_until_the_container_ends(namespace: Namespace) -> None:
    script = "import time\nfor i in range(3): print(i); time.sleep(0.2)"
    await namespace.run("slow", script, restartPolicy="Never")
    await namespace.wait("pods/slow", lambda p: container_status(p).get("state", {}).get("running"))

    assert await namespace.log("slow", follow="true") == "0\n1\n2\n"


async def test_a_container_that_fails_is_started_again_after_a_pause(namespace: Namespace) -> None:
    script = (
        "import pathlib; pathlib.Path('/dev/termination-log').write_text('no base model'); print('was here'); exit(3)"
    )
    await namespace.run("crash", script)

    def waits_after_two_runs(pod: dict[str, object]) -> bool:
        status = container_status(pod)
        waiting = status.get("state", {}).get("waiting", {})
        return bool(status.get("restartCount", 0) >= 1 and waiting.get("reason") == "CrashLoopBackOff")

    status = container_status(await namespace.wait("pods/crash", waits_after_two_runs))

    ended = status["lastState"]["terminated"]
    assert (ended["exitCode"], ended["reason"], ended["message"]) == (3, "Error", "no base model")
    again = await namespace.wait("pods/crash", lambda p: container_status(p).get("restartCount", 0) >= 2)
    assert again["status"]["podIP"].startswith("127.")
    assert await namespace.log("crash", previous="true") == "was here\n"


async def test_an_exit_without_restart_policy_ends_the_pod(namespace: Namespace) -> None:
    await namespace.run("good", "pass", restartPolicy="OnFailure")
    await namespace.run("bad", "exit(7)", restartPolicy="Never")

    assert (await namespace.ended("good"))["reason"] == "Completed"
    assert (await namespace.ended("bad"))["exitCode"] == 7


async def test_a_container_that_fails_its_liveness_probe_is_replaced(namespace: Namespace) -> None:
    probe = {"httpGet": {"port": "http", "path": "/no-such-file"}, "periodSeconds": 1, "failureThreshold": 1}
    await namespace.run("ill", SERVE, container=server(livenessProbe=probe), terminationGracePeriodSeconds=1)

    pod = await namespace.wait("pods/ill", lambda p: container_status(p).get("restartCount", 0) >= 1)

    assert container_status(pod)["lastState"]["terminated"]["exitCode"] == 137


async def test_a_startup_probe_holds_the_others_back(namespace: Namespace) -> None:
    started = {"exec": {"command": ["test", "-e", "/started/yes"]}, "periodSeconds": 1, "failureThreshold": 30}
    alive = {"exec": {"command": ["test", "-e", "/started/yes"]}, "periodSeconds": 1, "failureThreshold": 1}
    script = "import time, pathlib; time.sleep(1.5); pathlib.Path('/started/yes').touch(); time.sleep(60)"
    container: dict[str, object] = {"startupProbe": started, "livenessProbe": alive}
    container["volumeMounts"] = [{"name": "started", "mountPath": "/started"}]
    volumes = [{"name": "started", "emptyDir": {}}]
    await namespace.run("slow", script, container=container, volumes=volumes, terminationGracePeriodSeconds=0)

    early = await namespace.wait("pods/slow", lambda p: container_status(p).get("state", {}).get("running"))
    late = await namespace.wait("pods/slow", is_ready)

    assert not container_status(early)["started"]
    assert container_status(late)["restartCount"] == 0


async def test_an_unknown_image_is_never_started(namespace: Namespace) -> None:
    await namespace.run("unknown", "", container={"image": "docker.io/library/nginx:1"})

    def is_waiting(pod: dict[str, object]) -> bool:
        return bool(container_status(pod).get("state", {}).get("waiting", {}).get("reason") == "ImagePullBackOff")

    pod = await namespace.wait("pods/unknown", is_waiting)
    assert pod["status"]["phase"] == "Pending"


async def test_a_pod_that_asks_for_too_much_stays_pending(namespace: Namespace) -> None:
    asks = {"resources": {"limits": {"nvidia.com/gpu": "2"}}}
    await namespace.run("greedy", "pass", container=asks)

    pod = await namespace.wait("pods/greedy", lambda p: p["status"].get("conditions"))

    [scheduled] = pod["status"]["conditions"]
    assert (scheduled["type"], scheduled["status"], scheduled["reason"]) == ("PodScheduled", "False", "Unschedulable")


async def test_init_containers_run_first_and_share_volumes(namespace: Namespace) -> None:
    mount = {"volumeMounts": [{"name": "work", "mountPath": "/work-of-pod"}]}
    init = {"name": "init", "image": "test/python", **mount}
    init["args"] = ["open('/work-of-pod/file', 'w').write('from init')"]
    await namespace.run(
        "both",
        "print(open('/work-of-pod/file').read())",
        container=mount,
        initContainers=[init],
        volumes=[{"name": "work", "emptyDir": {}}],
        restartPolicy="Never",
    )

    assert (await namespace.ended("both"))["exitCode"] == 0
    assert await namespace.log("both") == "from init\n"


async def test_the_environment_is_what_the_pod_says(namespace: Namespace) -> None:
    await namespace.create("configmaps", {"metadata": {"name": "settings"}, "data": {"COLOUR": "red", "SIZE": "9"}})
    await namespace.create("secrets", {"metadata": {"name": "keys"}, "stringData": {"token": "s3cret"}})
    env = [
        POD_IP,
        {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "token"}}},
        {"name": "CPUS", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
        {"name": "URL", "value": "http://$(POD_IP)/$(NAME)"},
    ]
    limits = {"resources": {"limits": {"cpu": "1500m"}}}
    await namespace.run(
        "env",
        "import os, json; print(json.dumps(dict(os.environ)))",
        container={"env": env, "envFrom": [{"prefix": "S_", "configMapRef": {"name": "settings"}}], **limits},
        restartPolicy="Never",
    )
    await namespace.ended("env")

    seen = json.loads(await namespace.log("env"))
    assert {name: seen[name] for name in ("NAME", "TOKEN", "CPUS", "S_COLOUR", "S_SIZE")} == {
        "NAME": "env",
        "TOKEN": "s3cret",
        "CPUS": "2",
        "S_COLOUR": "red",
        "S_SIZE": "9",
    }
    assert seen["URL"] == f"http://{seen['POD_IP']}/env"


async def test_a_container_waits_for_a_secret_that_comes_later(namespace: Namespace) -> None:
    env = [{"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "late", "key": "token"}}}]
    await namespace.run(
        "patient", "import os; print(os.environ['TOKEN'])", container={"env": env}, restartPolicy="Never"
    )

    def lacks_config(pod: dict[str, object]) -> bool:
        waiting = container_status(pod).get("state", {}).get("waiting", {})
        return waiting.get("reason") == "CreateContainerConfigError" and 'secret "late" not found' in waiting["message"]

    await namespace.wait("pods/patient", lacks_config)
    await namespace.create("secrets", {"metadata": {"name": "late"}, "stringData": {"token": "here"}})

    assert (await namespace.ended("patient"))["exitCode"] == 0
    assert await namespace.log("patient") == "here\n"


async def test_a_containers_user_has_a_name_only_if_the_image_gives_it_one(namespace: Namespace) -> None:
    script = """
import getpass, os
try:
    print(getpass.getuser(), os.environ['HOME'])
except KeyError:
    print('no name', os.environ['HOME'])
"""
    for name, user, said in (("root", 0, "root /root"), ("other", 65532, "no name /")):
        await namespace.run(name, script, securityContext={"runAsUser": user}, restartPolicy="Never")
        await namespace.ended(name)
        assert await namespace.log(name) == f"{said}\n"
