"""Who a container runs as on a real node, and what that user may do there: pure functions.

Containers of this node run as the user of the plane, whatever their manifests say. What a user of its own would
meet in an image and on volumes is made to be met here too.
"""

from dataclasses import dataclass

from lorapool_local.node.spec.container import Container
from lorapool_local.node.spec.pod import Pod

ROOT = 0
WRITE = 0o2
_NOBODY = 65534
# Names come from files alone: not from systemd, which has a root of its own, nor from a directory server.
_NAME_SOURCES = "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n"


@dataclass(frozen=True)
class User:
    """The ids of a container's processes, as its manifest or its image has them."""

    uid: int
    gids: frozenset[int]


def container_user(pod: Pod, container: Container, image_uid: int) -> User:
    """The container's security context goes before the pod's, and that before the image's user."""
    of_pod, of_container = pod.spec.security_context, container.security_context
    uid = _first(of_container.run_as_user, of_pod.run_as_user, image_uid)
    gid = _first(of_container.run_as_group, of_pod.run_as_group, image_uid if uid == image_uid else ROOT)
    more = {*of_pod.supplemental_groups, *(() if of_pod.fs_group is None else (of_pod.fs_group,))}
    return User(uid, frozenset({gid, *more}))


def rights(mode: int, owner: int, group: int, user: User) -> int:
    """Which of read (4), write (2) and execute (1) a user has on a file with this mode, owner and group."""
    if user.uid == ROOT:
        return 0o7
    if user.uid == owner:
        return mode >> 6 & 0o7
    return mode >> 3 & 0o7 if group in user.gids else mode & 0o7


def accounts(user: User, process_uid: int) -> dict[str, str]:
    """Files of /etc as an image has them: names for root and nobody, for nobody else, and from nowhere else.

    Args:
        user: who the container should run as.
        process_uid: who its processes run as here. It has a name only where the container's user has one.
    """
    ids = {"root": ROOT, "nobody": _NOBODY}
    names = {name: uid for name, uid in ids.items() if uid != process_uid}
    if user.uid in ids.values():
        names |= {name: process_uid for name, uid in ids.items() if uid == user.uid}
    passwd = "".join(f"{name}:x:{uid}:{uid}::/:/bin/sh\n" for name, uid in names.items())
    group = "".join(f"{name}:x:{gid}:\n" for name, gid in names.items())
    return {"passwd": passwd, "group": group, "nsswitch.conf": _NAME_SOURCES}


def _first(*values: int | None) -> int:
    return next(value for value in values if value is not None)
