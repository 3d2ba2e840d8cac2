"""A file of a kind that a newer version has."""

from lorapool_api.newer import Word
from lorapool_api.wire.sources.file import SourceFile


class OtherFile(SourceFile):
    """A file whose source this version cannot ask. It concerns its own adapter, and not the catalog that names it.

    Another pod, of a newer version, may have the file, and gives it by its sha256.
    """

    kind: Word

    @property
    def owner(self) -> str:
        return self.kind
