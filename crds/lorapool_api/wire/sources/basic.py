"""Files of the Hub, at an address, and on a volume."""

from typing import ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import Field

from lorapool_api.wire.sources.file import SourceFile


class HubFile(SourceFile):
    """A file of a Hub repository at a commit."""

    has_sidecars: ClassVar[bool] = True

    kind: Literal["hub"] = "hub"
    repo: str
    revision: str = Field(description="Commit, 40 hexadecimal digits.")
    file: str

    @property
    def names_one_content(self) -> bool:
        return True

    @property
    def owner(self) -> str:
        return f"hub {self.repo.partition('/')[0]}"


class UrlFile(SourceFile):
    """A file at an address."""

    kind: Literal["url"] = "url"
    url: str

    @property
    def owner(self) -> str:
        return f"url {urlsplit(self.url).netloc}"


class PathFile(SourceFile):
    """A file on a volume of the pod."""

    is_local: ClassVar[bool] = True
    has_sidecars: ClassVar[bool] = True

    kind: Literal["path"] = "path"
    path: str

    @property
    def owner(self) -> str:
        return "path"
