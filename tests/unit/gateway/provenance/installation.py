"""An installation that signs pictures: its key, its gateway, and what is asked of both."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.unit.gateway.fakes import World
from tests.unit.gateway.provenance import certificates

from lorapool_api.wire.reply import UsedAdapter
from lorapool_api.wire.request import ImageFormat
from lorapool_gateway.provenance.certificates import ContentKeys
from lorapool_gateway.provenance.manifest import PictureClaim
from lorapool_gateway.provenance.reader import PictureReader
from lorapool_gateway.provenance.report import PictureReport
from lorapool_gateway.provenance.signer import PictureSigner
from lorapool_gateway.serve.signing import PictureSigning

SHA = "cd" * 32
ADAPTERS = (UsedAdapter(key="default/ink", sha256=SHA, scale=0.5), UsedAdapter(key="hub:o/px", sha256=SHA, scale=1.0))


@dataclass(frozen=True)
class Installation:
    """What signs and what reads."""

    folder: Path
    keys: ContentKeys
    signer: PictureSigner
    reader: PictureReader

    @classmethod
    @contextmanager
    def of(
        cls, folder: Path, pair: certificates.Pair, root: certificates.Pair, *previous: certificates.Pair
    ) -> Iterator["Installation"]:
        keys = ContentKeys(certificates.write(folder, pair, root, *previous))
        signer, reader = PictureSigner(keys), PictureReader(keys)
        try:
            yield cls(folder, keys, signer, reader)
        finally:
            signer.close()
            reader.close()

    def world(self, **serving: Any) -> World:
        """A gateway with that key, a pool and a pod."""
        made = World(signing=PictureSigning(self.signer), reader=self.reader, max_body_bytes=1 << 20)
        made.pool(serving=serving)
        made.adapter("ink")
        made.pod()
        return made

    async def signed(self, picture: bytes, format_: ImageFormat = ImageFormat.PNG, **said: Any) -> bytes:
        return await self.signer.sign(picture, format_, claim(**said))

    async def report(self, picture: bytes) -> PictureReport:
        async def whole() -> bytes:
            return picture

        return await self.reader.report(whole)


def claim(**more: Any) -> PictureClaim:
    """What a picture says of itself."""
    said: dict[str, Any] = {"adapters": ADAPTERS, "seed": 2**63 - 1, "of_picture": False, "version": "1.2"}
    at = datetime(2026, 11, 30, tzinfo=UTC)
    return PictureClaim("default/shapes", "o/base", "r1", made_at=at, **said | more)
