"""What operator and pod say of one file, compared."""

from tests.files import lora_file

from lorapool_api.kinds.conditions import Reason
from lorapool_operator.sources.artifacts.found import FoundFile


def agreed(found: FoundFile | Reason, got: bytes | Reason, revision: str, file: str) -> Reason | None:
    """The reason that both give; None: the operator found that file, and the pod has its content."""
    if isinstance(found, Reason) or isinstance(got, Reason):
        assert found is got
        return found if isinstance(found, Reason) else None
    assert (found.revision, found.file) == (revision, file)
    assert got == lora_file()
    return None
