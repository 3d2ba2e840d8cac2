"""The first process of the node's process namespace: it takes in what loses its parent, and is the node's life.

Started by its path, with the standard library alone. When it ends, the kernel ends every process of the node.
"""

import os
import signal


def main() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    print("ready", flush=True)
    while True:
        signal.sigwait({signal.SIGCHLD})
        while _reap():
            pass


def _reap() -> bool:
    """Whether a child had ended."""
    try:
        return os.waitpid(-1, os.WNOHANG)[0] != 0
    except ChildProcessError:
        return False


if __name__ == "__main__":
    main()
