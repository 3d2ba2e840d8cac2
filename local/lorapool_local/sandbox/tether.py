"""Execute a program that the kernel ends together with the process that started it."""

import os
import signal
import sys

from lorapool_local.sandbox import syscalls


def main() -> None:
    """Arguments: the pid of the process that started this one, then the program and its arguments."""
    parent_pid, program = int(sys.argv[1]), sys.argv[2:]
    syscalls.die_with_parent(parent_pid, signal.SIGKILL)
    os.execv(program[0], program)  # noqa: S606 -- no shell is wanted
