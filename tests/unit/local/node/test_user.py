"""Who a container runs as on a real node, and what that means on this one."""

import re
from pathlib import Path
from typing import Any

import pytest

from lorapool_local.node.spec.container import Container
from lorapool_local.node.spec.images import OWN_HOME, OWN_USER, Images
from lorapool_local.node.spec.pod import Pod
from lorapool_local.node.spec.user import User, accounts, container_user, rights

SOMEBODY = User(65532, frozenset({65532, 2000}))
ROOT = User(0, frozenset({0}))


def user_of(pod: dict[str, Any], container: dict[str, Any], image_uid: int = 0) -> User:
    main = Container.model_validate({"name": "main", "securityContext": container})
    spec = {"containers": [main], "securityContext": pod}
    metadata = {"name": "p", "namespace": "n", "uid": "u"}
    return container_user(Pod.model_validate({"metadata": metadata, "spec": spec}), main, image_uid)


@pytest.mark.parametrize(
    ("pod", "container", "image_uid", "expected"),
    [
        ({}, {}, 0, User(0, frozenset({0}))),
        ({}, {}, 65532, User(65532, frozenset({65532}))),
        ({"runAsUser": 7}, {}, 65532, User(7, frozenset({0}))),
        ({"runAsUser": 7}, {"runAsUser": 8, "runAsGroup": 9}, 0, User(8, frozenset({9}))),
        ({"fsGroup": 5, "supplementalGroups": [6]}, {}, 1, User(1, frozenset({1, 5, 6}))),
    ],
)
def test_the_container_goes_before_the_pod_and_the_pod_before_the_image(
    pod: dict[str, Any], container: dict[str, Any], image_uid: int, expected: User
) -> None:
    assert user_of(pod, container, image_uid) == expected


@pytest.mark.parametrize(
    ("mode", "owner", "group", "user", "may"),
    [
        (0o755, 0, 0, SOMEBODY, 0o5),
        (0o775, 0, 2000, SOMEBODY, 0o7),
        (0o700, 65532, 0, SOMEBODY, 0o7),
        (0o077, 65532, 0, SOMEBODY, 0o0),  # the owner's bits alone count for the owner
        (0o777, 0, 0, SOMEBODY, 0o7),
        (0o000, 1000, 1000, ROOT, 0o7),
    ],
)
def test_a_user_may_do_what_the_mode_of_a_file_says(mode: int, owner: int, group: int, user: User, may: int) -> None:
    assert rights(mode, owner, group, user) == may


@pytest.mark.parametrize("process_uid", [0, 1000])
def test_a_container_that_is_not_root_has_no_name_in_its_image(process_uid: int) -> None:
    passwd = accounts(SOMEBODY, process_uid)["passwd"]
    assert str(process_uid) not in [line.split(":")[2] for line in passwd.splitlines()]
    assert "root" in accounts(SOMEBODY, 1000)["passwd"]
    # Whoever should be root is called so, whoever it is.
    assert f"root:x:{process_uid}:" in accounts(ROOT, process_uid)["passwd"]


def test_own_images_have_the_user_and_the_home_of_the_dockerfiles() -> None:
    for name in ("Dockerfile.operator", "Dockerfile.runtime"):
        text = (Path(__file__).parents[4] / name).read_text()
        assert set(re.findall(r"^USER (\d+):\d+$", text, re.MULTILINE)) == {str(OWN_USER)}
        assert set(re.findall(r"\bHOME=(\S+)", text)) == {OWN_HOME}


def test_other_images_have_a_home_as_a_container_runtime_gives_it() -> None:
    images = Images({"test/x": ["sh"]})
    assert (images.user("test/x"), images.home("test/x", 0), images.home("test/x", 7)) == (0, "/root", "/")
    assert images.user("r.test/lorapool-runtime:1") == OWN_USER
