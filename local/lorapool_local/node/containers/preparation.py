"""Everything that must be known before a container starts: its image, its environment, its volumes."""

import os
from typing import Any

from lorapool_common.kube.errors import ApiError
from lorapool_common.kube.resources import SERVICES, Manifest
from lorapool_local.node.containers.context import PodContext
from lorapool_local.node.containers.launch import base_environment, container_spec
from lorapool_local.node.containers.process import ContainerSpec
from lorapool_local.node.spec.container import Container
from lorapool_local.node.spec.environment import command_line, environment, references
from lorapool_local.node.spec.service_links import service_variables
from lorapool_local.node.spec.user import User, accounts, container_user
from lorapool_local.node.volumes.references import REFERABLE
from lorapool_local.sandbox.rootfs import Mount


class ImageMissing(Exception):
    """This node does not have the image."""


async def prepare(context: PodContext, container: Container) -> ContainerSpec:
    """The specification of the container's next run.

    Raises:
        ImageMissing: see there.
        ConfigError, VolumeError, ApiError: something that it refers to is not there, or not yet.
    """
    deps = context.deps
    image_command = deps.images.command(container.image)
    if image_command is None:
        raise ImageMissing(
            f'Failed to pull image "{container.image}": this node runs only images of lorapool, as processes'
        )
    objects = await _referenced_objects(context, container)
    user = container_user(context.pod, container, deps.images.user(container.image))
    home = deps.images.home(container.image, user.uid)
    base = base_environment(context.pod, home, deps.api_host, deps.api_port)
    base |= await _service_links(context)
    env = environment(container, context.pod, context.placement, lambda *which: objects.get(which), base)
    return container_spec(
        context.pod,
        container,
        mode=deps.mode,
        argv=command_line(container, image_command, env),
        env=env,
        mounts=[
            *_account_mounts(context, container, user),
            *context.volumes.mounts(container, user),
            _message_mount(context, container),
        ],
        pod_dir=context.folder,
        state_dir=deps.state_dir,
    )


def _message_mount(context: PodContext, container: Container) -> Mount:
    """An empty file at the container's `terminationMessagePath`."""
    file = context.message_file(container.name)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"")
    return Mount(str(file), container.termination_message_path, read_only=False)


def _account_mounts(context: PodContext, container: Container, user: User) -> list[Mount]:
    """The names of users and groups in the image, instead of this machine's."""
    mounts = []
    for name, content in accounts(user, os.getuid()).items():
        file = context.folder / "accounts" / container.name / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
        mounts.append(Mount(str(file), f"/etc/{name}", read_only=True))
    return mounts


async def _service_links(context: PodContext) -> dict[str, str]:
    if not context.pod.spec.enable_service_links:
        return {}
    listed = await context.deps.kube.list(SERVICES, context.pod.metadata.namespace)
    return service_variables(listed)


async def _referenced_objects(context: PodContext, container: Container) -> dict[tuple[str, str], Any]:
    found = {}
    for kind, name in references(container):
        value = await _get(context, kind, name)
        if value is not None:
            found[kind, name] = value
    return found


async def _get(context: PodContext, kind: str, name: str) -> Manifest | None:
    try:
        return await context.deps.kube.get(REFERABLE[kind], context.pod.metadata.namespace, name)
    except ApiError as error:
        if error.is_gone:
            return None
        raise
