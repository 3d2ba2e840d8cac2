"""Why a pod's process ended, in the last line that it writes: the kubelet carries it into the pod's status."""

import re
from dataclasses import dataclass

from lorapool_api.kinds.conditions import Reason

_LINE = re.compile(r"(?:^|: )lorapool \w+: (\w+): (.+)$")


@dataclass(frozen=True)
class LastWords:
    """What somebody has to put right before the process can do its work."""

    reason: Reason
    message: str

    def __str__(self) -> str:
        """What follows the name of the command in the last line."""
        return f"{self.reason}: {self.message}"


def last_words(termination_message: str) -> LastWords | None:
    """The last line of a container's termination message, if a process of lorapool wrote its reason there."""
    lines = termination_message.strip().splitlines()
    found = _LINE.search(lines[-1]) if lines else None
    if found is None:
        return None
    try:
        return LastWords(Reason(found.group(1)), found.group(2))
    except ValueError:
        return None
