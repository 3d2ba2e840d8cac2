"""What lay beside files of weights when they were fetched, so that no source is asked for it twice."""

import json
from base64 import b64decode, b64encode
from contextlib import suppress
from pathlib import Path

from lorapool_api.wire.sources.any import FileSource
from lorapool_common.files import write_atomically
from lorapool_runtime.adapters.file import Sidecars
from lorapool_runtime.sources.blobs import source_digest


class SidecarNotes:
    """One small file per source. Several processes may share the folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def get(self, source: FileSource) -> Sidecars | None:
        """What lay beside that source's file; None: nobody has looked yet."""
        with suppress(OSError, ValueError, TypeError, AttributeError):
            note = json.loads((self._folder / source_digest(source)).read_bytes())
            return Sidecars(_bytes(note.get("peft_config")), _bytes(note.get("embeddings")))
        return None

    def put(self, source: FileSource, sidecars: Sidecars) -> None:
        """Remember it. What cannot be written is asked for again."""
        note = {"peft_config": _text(sidecars.peft_config), "embeddings": _text(sidecars.embeddings)}
        with suppress(OSError):
            write_atomically(self._folder / source_digest(source), json.dumps(note).encode())

    def forget(self, source: FileSource) -> None:
        (self._folder / source_digest(source)).unlink(missing_ok=True)


def _text(content: bytes | None) -> str | None:
    return None if content is None else b64encode(content).decode()


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else b64decode(text, validate=True)
