"""What sources of adapters and of base models turned out to be."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from lorapool_api.kinds.adapter import AnyFormat
from lorapool_api.kinds.serving import FoundDefaults
from lorapool_api.lora.facts import AdapterFacts
from lorapool_operator.seen.verdict import Verdict


@dataclass(frozen=True)
class Resolution:
    """The file behind a source.

    Attributes:
        facts: what the header says; None where only the pods see the file (`path`), or where this was taken over
            from the status after a restart.
        trigger_words: those of the file's metadata, else of the card.
        merge_loss: as a pod measured it, taken over from the status.
        defaults: what the metadata says of how requests are sampled.
        base_models: what the card says that the adapter was trained for; empty where it says nothing.
        thumbnail: address of a picture that the card shows.
        alone: whether it is known that nothing that may belong to the file lies beside it.
        last_misfit: what the status said against its fit before a restart; it holds until the file was resolved anew.
        tag: what the source calls the content, where that is not the revision: an ETag.
        refresh: value of the object's annotation that this answers.
    """

    revision: str | None = None
    file: str | None = None
    sha256: str | None = None
    size_bytes: int | None = None
    rank: int | None = None
    targets: int | None = None
    format: AnyFormat | None = None
    networks: tuple[str, ...] | None = None
    trigger_words: tuple[str, ...] | None = None
    merge_loss: float | None = None
    defaults: FoundDefaults | None = None
    facts: AdapterFacts | None = None
    base_models: tuple[str, ...] = ()
    thumbnail: str | None = None
    alone: bool | None = None
    last_misfit: Verdict | None = None
    tag: str | None = None
    refresh: str | None = None


@dataclass(frozen=True)
class Unresolved:
    """The source cannot be used."""

    verdict: Verdict


@dataclass(frozen=True)
class Resolving:
    """Not resolved yet. `last` is what the status said before, so that a restart changes no status."""

    last: Verdict | None = None


Outcome = Resolution | Unresolved | Resolving


@dataclass(frozen=True)
class BaseResolution:
    """What became of looking up the commits of a base model.

    Attributes:
        commits: (repository, revision) -> commit.
        problem: why a repository cannot be had, as far as the operator can tell.
        is_pending: nobody has answered yet.
    """

    commits: Mapping[tuple[str, str], str] = field(default_factory=dict)
    problem: Verdict | None = None
    is_pending: bool = False


NOTHING_TO_RESOLVE: Final = BaseResolution()
