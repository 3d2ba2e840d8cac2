"""What is true of all files of a kind of source, for whoever handles entries without asking which kind they are of."""

from abc import abstractmethod
from typing import ClassVar

from pydantic import Field

from lorapool_api.wire.credentials import CredentialsRef
from lorapool_api.wire.message import Wire


class SourceFile(Wire):
    """A file at its source.

    Who asks is part of it: what was found with the credentials of one adapter is no answer to another that has none, or
    others.

    Attributes:
        names_one_content: whether it means the same bytes for ever, so that an edit of its object brings no others.
        is_local: whether it lies on a volume of the pod: it costs no download, and may have been replaced. It is read
            anew each time, and no pod takes it from another.
        has_sidecars: whether what lies in the same folder belongs to it.
    """

    is_local: ClassVar[bool] = False
    has_sidecars: ClassVar[bool] = False

    credentials: CredentialsRef | None = Field(default=None, description="Whom it is asked as; None: nobody.")
    content: str | None = Field(
        default=None, description="Tells what the place is to hold now from what it held before; None: the first."
    )

    @property
    def names_one_content(self) -> bool:
        return False

    @property
    @abstractmethod
    def owner(self) -> str:
        """Whoever is responsible for how fast the source is."""
