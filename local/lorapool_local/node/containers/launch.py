"""From a pod's container to the specification of its sandbox: command, mounts and environment."""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from lorapool_local.node.containers.bytecode import library_mounts
from lorapool_local.node.containers.process import ContainerSpec, Mode
from lorapool_local.node.spec.container import Container
from lorapool_local.node.spec.pod import Pod
from lorapool_local.sandbox.rootfs import TMP, Mount

POD_ROOT_ENV = "LORAPOOL_POD_ROOT"
_CHECKOUT = Path(__file__).resolve().parents[4]
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def base_environment(pod: Pod, home: str, api_host: str, api_port: int) -> dict[str, str]:
    """What an image and the kubelet would set."""
    return {
        "PATH": f"{Path(sys.executable).parent}:{_SYSTEM_PATH}",
        "HOME": home,
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        "HOSTNAME": hostname(pod),
        "KUBERNETES_SERVICE_HOST": api_host,
        "KUBERNETES_SERVICE_PORT": str(api_port),
        "KUBERNETES_SERVICE_PORT_HTTPS": str(api_port),
    }


def hostname(pod: Pod) -> str:
    return (pod.spec.hostname or pod.metadata.name)[:63].rstrip("-.")


def container_spec(
    pod: Pod,
    container: Container,
    *,
    mode: Mode,
    argv: Sequence[str],
    env: Mapping[str, str],
    mounts: Sequence[Mount],
    pod_dir: Path,
    state_dir: Path,
) -> ContainerSpec:
    security = container.security_context
    root = pod_dir / "root" / container.name
    root.mkdir(parents=True, exist_ok=True)
    kept = sorted({os.path.realpath(path) for path in (_CHECKOUT, sys.prefix, sys.base_prefix)})
    volumes = [Mount(mount.source, os.path.realpath(mount.target), mount.read_only) for mount in mounts]
    spec = ContainerSpec(
        isolation=mode,
        argv=argv,
        env=env,
        cwd=container.working_dir or "/",
        hostname=hostname(pod),
        root=str(root),
        mounts=[*library_mounts(), *volumes, *uncovered(kept, volumes)],
        # The plane's keys are not for pods.
        opaque=[TMP, os.path.realpath(state_dir)],
        kept=kept,
        writable_tmp=not security.read_only_root_filesystem,
        drop_capabilities="ALL" in security.capabilities.drop,
        no_new_privileges=not security.allow_privilege_escalation,
    )
    return _in_folders(spec, root, mounts) if mode is Mode.FOLDERS else spec


def uncovered(kept: Sequence[str], volumes: Sequence[Mount]) -> list[Mount]:
    """Mounts that show the programs again where a volume hides them: a checkout may lie below /tmp."""
    targets = {mount.target for mount in volumes}
    return [
        Mount(path, path, True) for path in kept if any(str(above) in targets for above in (path, *Path(path).parents))
    ]


def _in_folders(spec: ContainerSpec, root: Path, mounts: Sequence[Mount]) -> ContainerSpec:
    """Without namespaces: volumes are linked below a folder; paths in arguments and environment are led there."""
    paths = {}
    for mount in mounts:
        link = root / mount.target.lstrip("/")
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(mount.source)
        paths[mount.target] = str(link)

    def moved(text: str) -> str:
        for target, link in paths.items():
            if text == target or text.startswith(f"{target}/"):
                return link + text[len(target) :]
        return text

    temporary = root / "tmp"
    temporary.mkdir(exist_ok=True)
    env = {name: moved(value) for name, value in spec.env.items()}
    env |= {POD_ROOT_ENV: str(root), "TMPDIR": str(temporary), "HOME": str(temporary)}
    cwd = moved(spec.cwd)
    return ContainerSpec(
        **{**vars(spec), "argv": [moved(word) for word in spec.argv], "env": env, "cwd": cwd, "mounts": []}
    )
