"""What a pod and the process that brings files ahead say to each other, over two pipes.

A frame is two lengths of four bytes, big-endian, then a message in JSON of the first length, then so many bytes of
content: a small file that another pod has sent already.
"""

from pathlib import Path
from typing import Annotated, BinaryIO, Final

from pydantic import Base64Bytes, ConfigDict, Field, PlainSerializer, SecretStr

from lorapool_api.kinds.conditions import Reason
from lorapool_api.lora.facts_json import answered, facts_in
from lorapool_api.wire.catalog import CatalogEntry
from lorapool_api.wire.fleet import FileFound
from lorapool_api.wire.message import Wire
from lorapool_runtime.adapters.file import AdapterFile, Sidecars
from lorapool_runtime.credentials import CredentialsNeeded
from lorapool_runtime.errors import AdapterError
from lorapool_runtime.sources.origins import SourceRules
from lorapool_runtime.sources.pods.peer_file import PeerFile

LENGTHS_BYTES: Final = 8
_LENGTH_BYTES: Final = 4
# The facts of a file with some ten thousand modules, and what lies beside it in base64.
FRAME_MAX_BYTES: Final = 32 << 20

_Secret = Annotated[SecretStr, PlainSerializer(lambda value: value.get_secret_value(), return_type=str)]


class AheadSetup(Wire):
    """The first message: what holds for all files.

    Attributes:
        bound_bytes: of the cache folder; None: it has none.
        log_level: name of the least severe level that is written.
    """

    cache: Path
    bound_bytes: int | None
    rules: SourceRules
    max_rank: int
    log_level: str = "INFO"


class GivenByPod(Wire):
    """A file that another pod has; what came of it already is the frame's content."""

    found: FileFound
    hosts: tuple[str, ...]
    token: _Secret
    has_content: bool


class AheadOrder(Wire):
    """Bring a file. Without an entry: nobody wants the file of that number any more."""

    model_config = ConfigDict(hide_input_in_errors=True)

    number: int
    entry: CatalogEntry | None = None
    given: GivenByPod | None = None
    credentials: dict[str, _Secret] | None = None

    def peer_file(self, content: bytes) -> PeerFile | None:
        """What another pod gives; `content` is the frame's."""
        if (given := self.given) is None:
            return None
        return PeerFile(
            given.found, given.hosts, given.token.get_secret_value(), content if given.has_content else None
        )


class AheadRefusal(Wire):
    """An `AdapterError`; without a reason: credentials are needed."""

    reason: Reason | None = None
    message: str = ""
    transient: bool = True


class AheadAnswer(Wire):
    """What came of an order.

    Attributes:
        evictions: files that have left the disk for others since the last answer.
    """

    number: int
    path: Path = Path()
    sha256: str = ""
    facts: str = Field(default="", repr=False)
    peft_config: Base64Bytes | None = Field(default=None, repr=False)
    embeddings: Base64Bytes | None = Field(default=None, repr=False)
    refused: AheadRefusal | None = None
    evictions: int = 0

    @classmethod
    def of(cls, number: int, file: AdapterFile) -> "AheadAnswer":
        """The file is there."""
        return cls.model_construct(
            number=number,
            path=file.path,
            sha256=file.sha256,
            facts=answered(lambda: file.facts).decode(),
            peft_config=file.sidecars.peft_config,
            embeddings=file.sidecars.embeddings,
        )

    def file(self) -> AdapterFile:
        """Takes milliseconds for a file of many modules. Raises: AdapterError, CredentialsNeeded."""
        if (refused := self.refused) is not None:
            if refused.reason is None:
                raise CredentialsNeeded
            raise AdapterError(refused.reason, refused.message, transient=refused.transient)
        sidecars = Sidecars(self.peft_config, self.embeddings)
        return AdapterFile(self.path, self.sha256, facts_in(self.facts.encode()), sidecars)


def framed(message: Wire, content: bytes = b"") -> bytes:
    """The frame of a message."""
    text = message.model_dump_json().encode()
    return b"".join((*(len(part).to_bytes(_LENGTH_BYTES, "big") for part in (text, content)), text, content))


def lengths(first: bytes) -> tuple[int, int]:
    """Of the message and of its content, from a frame's beginning. Raises: ValueError: longer than any may be."""
    message, content = (int.from_bytes(first[at : at + _LENGTH_BYTES], "big") for at in (0, _LENGTH_BYTES))
    if message + content > FRAME_MAX_BYTES:
        raise ValueError(f"a frame of {message + content} bytes")
    return message, content


def read_frame(pipe: BinaryIO) -> tuple[bytes, bytes] | None:
    """The next message and its content; None: the other side has gone. Blocking."""
    first = pipe.read(LENGTHS_BYTES)
    if len(first) < LENGTHS_BYTES:
        return None
    message, content = lengths(first)
    body = pipe.read(message + content)
    return (body[:message], body[message:]) if len(body) == message + content else None
