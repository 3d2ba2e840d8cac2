"""Run one container: its process in namespaces of its own, or, where those are forbidden, with its descendants adopted.

The specification comes as JSON on standard input (see `node/containers/process.py`). What happens is reported as JSON
lines on a pipe: `{"pid": ...}`, `{"error": ...}` if the container could not be started, and at last
`{"code": ..., "signal": ...}`. SIGTERM is passed on to the container's main process; SIGUSR1 ends everything in it
at once, and so does the death of the supervisor.
"""

import contextlib
import json
import os
import select
import signal
import sys
from typing import Any, NoReturn

from lorapool_local.sandbox import rootfs, syscalls

_START_ERROR_CODE = 128
KILL_SIGNAL = signal.SIGUSR1
_HANDLED = {signal.SIGCHLD, signal.SIGTERM, KILL_SIGNAL}
_NAMESPACES = syscalls.CLONE_NEWNS | syscalls.CLONE_NEWPID | syscalls.CLONE_NEWUTS | syscalls.CLONE_NEWIPC


def main() -> None:
    specification = json.load(sys.stdin)
    # Blocked, so that `sigwait` takes them one by one; those that came before are not lost.
    signal.pthread_sigmask(signal.SIG_BLOCK, _HANDLED)
    syscalls.die_with_parent(specification["parent_pid"], KILL_SIGNAL)
    SandboxInit(specification).run()


class SandboxInit:
    """The process above a container's main one: makes its namespaces and root, passes signals on, reports its exit."""

    def __init__(self, specification: dict[str, Any]) -> None:
        self._spec = specification
        self._report_fd = specification["report_fd"]
        self._isolated = specification["isolation"] != "folders"
        os.set_inheritable(self._report_fd, False)

    def run(self) -> None:
        try:
            self._enter_namespaces()
        except OSError as error:
            self._report(error=str(error))
            self._report(code=_START_ERROR_CODE, signal=0)
            return
        # The container sees from its end that this process is gone: a pid says nothing across namespaces.
        container_end, own_end = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(own_end)
            self._become_container(container_end)
        os.close(container_end)
        self._report(pid=child)
        status = self._watch(child)
        if not self._isolated:
            _end_all_children()
        code = os.waitstatus_to_exitcode(status)
        self._report(code=max(code, 0), signal=max(-code, 0))

    def _enter_namespaces(self) -> None:
        if not self._isolated:
            syscalls.adopt_orphans()
            return
        if self._spec["isolation"] == "user":
            uid, gid = os.getuid(), os.getgid()
            syscalls.unshare(_NAMESPACES | syscalls.CLONE_NEWUSER)
            _write("/proc/self/setgroups", "deny")
            _write("/proc/self/uid_map", f"{uid} {uid} 1")
            _write("/proc/self/gid_map", f"{gid} {gid} 1")
        else:
            syscalls.unshare(_NAMESPACES)

    def _watch(self, child: int) -> int:
        """Pass signals on until the container's main process ends; its wait status."""
        while True:
            received = signal.sigwait(_HANDLED)
            if received == signal.SIGCHLD:
                status = _reap(child)
                if status is not None:
                    return status
            else:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, signal.SIGTERM if received == signal.SIGTERM else signal.SIGKILL)

    def _become_container(self, parent_is_gone: int) -> NoReturn:
        try:
            self._prepare(parent_is_gone)
            arguments, environment = self._spec["argv"], self._spec["env"]
            os.execvpe(arguments[0], arguments, environment)  # noqa: S606 -- no shell is wanted
        except OSError as error:
            self._report(error=f"{error.strerror or error}: {error.filename or self._spec['argv'][0]}")
        finally:
            os._exit(_START_ERROR_CODE)

    def _prepare(self, parent_is_gone: int) -> None:
        syscalls.set_parent_death_signal(signal.SIGKILL)
        if select.select([parent_is_gone], [], [], 0)[0]:
            os._exit(_START_ERROR_CODE)
        if self._isolated:
            syscalls.set_host_name(self._spec["hostname"])
            view = rootfs.View(
                mounts=tuple(rootfs.Mount(**mount) for mount in self._spec["mounts"]),
                opaque=frozenset(self._spec["opaque"]),
                kept=frozenset(self._spec["kept"]),
            )
            rootfs.build(self._spec["root"], view, writable_tmp=self._spec["writable_tmp"])
            syscalls.pivot_root(self._spec["root"])
        os.chdir(self._spec["cwd"])
        if self._spec["drop_capabilities"]:
            syscalls.drop_capabilities()
        if self._spec["no_new_privileges"]:
            syscalls.forbid_new_privileges()
        # The interpreter ignores these; what it executes should start with the defaults.
        for number in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _HANDLED)

    def _report(self, **what: Any) -> None:
        with contextlib.suppress(BrokenPipeError):
            os.write(self._report_fd, json.dumps(what).encode() + b"\n")


def _reap(child: int) -> int | None:
    """Collect whoever ended; the status of `child` if it is among them."""
    found = None
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG)) != (0, 0):
            if ended[0] == child:
                found = ended[1]
    return found


def _end_all_children() -> None:
    """Kill what is left, generation by generation: orphans become this process's children."""
    with contextlib.suppress(ChildProcessError):
        while True:
            for pid in _children():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            os.waitpid(-1, 0)


def _children() -> list[int]:
    own, found = os.getpid(), []
    for name in os.listdir("/proc"):
        if name.isdigit() and _parent(name) == own:
            found.append(int(name))
    return found


def _parent(pid: str) -> int | None:
    try:
        with open(f"/proc/{pid}/stat") as file:
            # The name before it may hold blanks and parentheses.
            return int(file.read().rpartition(")")[2].split()[1])
    except OSError:
        return None


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)
