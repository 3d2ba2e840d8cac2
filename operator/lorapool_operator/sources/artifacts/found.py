"""What looking at an artifact gives."""

from dataclasses import dataclass

from lorapool_operator.sources.header import HeaderText


@dataclass(frozen=True)
class FoundFile:
    """The weights file of an artifact.

    Attributes:
        revision: what means the same bytes for ever: a manifest's digest, a version's number.
        sha256: None where the source does not say it.
        words: that call what was learned, where the source says any.
    """

    revision: str
    file: str
    sha256: str | None
    header: HeaderText
    words: tuple[str, ...] = ()
