"""Files of Civitai: what its API says of a version of a model, and what it answers instead of a file.

Its answers are described at https://developer.civitai.com/site/reference/model-versions.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urljoin, urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from lorapool_api.fetch.hosts import origin
from lorapool_api.fetch.policy import EVERYWHERE, SourceRefused, UrlFetch, refused_by_status
from lorapool_api.kinds.conditions import Reason

_PUBLIC_HOST: Final = "civitai.com"
ENDPOINT: Final = f"https://{_PUBLIC_HOST}"
# Some 10 KiB for a version, most of it pictures.
MAX_ANSWER_BYTES: Final = 4 << 20
_LORAS: Final = frozenset({"lora", "locon", "dora"})
_SAFETENSORS: Final = "safetensor"
_MODEL_FILE: Final = frozenset({"model", "pruned model"})
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_NAME: Final = re.compile(r"[^\x00-\x1f\x7f/]{1,256}")
_UNAUTHORIZED, _FORBIDDEN = 401, 403
_LOGIN: Final = "/login"
_NEEDS_TOKEN: Final = (
    "its creator lets it be downloaded with an account only; name a token in spec.source.tokenSecretRef"  # noqa: S105 -- says that one is missing
)


class _Hashes(BaseModel):
    sha256: str | None = Field(default=None, alias="SHA256")


class _Metadata(BaseModel):
    format: str | None = None


class _Offered(BaseModel):
    id: int
    name: str
    type: str = ""
    primary: bool | None = None
    metadata: _Metadata | None = None
    hashes: _Hashes | None = None
    url: str | None = Field(default=None, alias="downloadUrl")

    @property
    def format(self) -> str:
        return (self.metadata.format if self.metadata else None) or ""

    @property
    def is_safetensors(self) -> bool:
        return self.format.lower() == _SAFETENSORS

    @property
    def sha256(self) -> str | None:
        written = ((self.hashes.sha256 if self.hashes else None) or "").lower()
        return written if _SHA256.fullmatch(written) else None


class _Model(BaseModel):
    name: str = ""
    type: str = ""


class _Version(BaseModel):
    """What is read of the description of a version."""

    model_config = ConfigDict(populate_by_name=True)

    id: int
    model_id: int | None = Field(default=None, alias="modelId")
    usage: str | None = Field(default=None, alias="usageControl")
    words: tuple[str, ...] | None = Field(default=None, alias="trainedWords")
    model: _Model = _Model()
    files: tuple[_Offered, ...] = ()


@dataclass(frozen=True)
class CivitaiRequest:
    """Which file is meant.

    Attributes:
        model: whose version it has to be; None: any.
        file: its name, or its id in digits; None: the one that the page offers first.
    """

    version: int
    model: int | None = None
    file: str | None = None

    @property
    def shown(self) -> str:
        """For messages."""
        return f"version {self.version} at Civitai"


@dataclass(frozen=True)
class CivitaiRepoFile:
    """A safetensors file of a version.

    Attributes:
        sha256: None where Civitai has not computed it yet.
        url: where to ask for it.
        words: that its creator says it was trained with, as they are written.
    """

    name: str
    sha256: str | None
    url: str
    words: tuple[str, ...] = ()


class CivitaiAccess:
    """Requests to Civitai, or to a mirror of it. Does no input or output."""

    def __init__(self, endpoint: str, hosts: Collection[str], token: SecretStr | None = None) -> None:
        """
        Args:
            endpoint: the installation's choice; it may be at any address, as its redirects may not.
            hosts: those of `lorapool_api.fetch.hosts`; what they list may be led to besides all public addresses.
        """
        self._endpoint = endpoint.rstrip("/")
        self._hosts = (*EVERYWHERE, *hosts)
        self._token = token

    def describe(self, request: CivitaiRequest) -> UrlFetch:
        """The request for the description of a version."""
        return self._fetch(f"{self._endpoint}/api/v1/model-versions/{request.version}", request.shown)

    def download(self, url: str, request: CivitaiRequest) -> UrlFetch:
        """The request for a file at the address that the description names for it."""
        at = origin(url)
        if at is not None and at[1] == _PUBLIC_HOST:  # a mirror's copy of the description names the original
            found = urlsplit(url)
            url = f"{self._endpoint}{found.path}" + (f"?{found.query}" if found.query else "")
        return self._fetch(url, request.shown)

    def _fetch(self, url: str, shown: str) -> UrlFetch:
        parts = urlsplit(self._endpoint)
        hosts = (*self._hosts, f"http://{parts.netloc}") if parts.scheme == "http" else self._hosts
        is_chosen = url.startswith(f"{self._endpoint}/")
        token = self._token if is_chosen else None
        return _CivitaiFetch(url, hosts, shown=shown, refusal=_Refusal(shown, token), token=token, is_chosen=is_chosen)


class _CivitaiFetch(UrlFetch):
    """Where an account is needed Civitai leads a browser to its login."""

    def answered(self, status: int, headers: Mapping[str, str]) -> bool:
        location = headers.get("location", "")
        if 300 <= status < 400 and urlsplit(urljoin(self.url, location)).path.rstrip("/") == _LOGIN:
            raise SourceRefused(Reason.SOURCE_FORBIDDEN, f"{self.shown}: {_NEEDS_TOKEN}")
        return super().answered(status, headers)


@dataclass(frozen=True)
class _Refusal:
    shown: str
    token: SecretStr | None

    def __call__(self, status: int, headers: Mapping[str, str]) -> SourceRefused:
        refused = refused_by_status(self.shown, status, headers)
        why = {
            _UNAUTHORIZED: _NEEDS_TOKEN if self.token is None else "the token of tokenSecretRef does not let it be had",
            _FORBIDDEN: "it is not to be had, or not yet: its page says when, and for whom",
        }.get(status)
        return refused if why is None else SourceRefused(refused.reason, f"{refused.message}: {why}")


def read_version(body: bytes, request: CivitaiRequest) -> CivitaiRepoFile:
    """The file that is meant, from the description of its version; it may take long to read.

    Raises:
        SourceRefused: it is not there, no LoRA, no safetensors, or not to be downloaded; or nothing that is understood.
    """
    shown = request.shown
    try:
        version = _Version.model_validate_json(body)
    except ValidationError as error:
        raise SourceRefused(Reason.SOURCE_UNAVAILABLE, f"{shown}: Civitai's answer is not understood") from error
    if request.model is not None and version.model_id not in (None, request.model):
        message = f"{shown} is of model {version.model_id}, not of {request.model}; correct the AIR"
        raise SourceRefused(Reason.SOURCE_NOT_FOUND, message)
    if version.model.type.lower() not in _LORAS:
        kind = _word(version.model.type) or "no kind that it says"
        raise SourceRefused(Reason.NOT_A_LORA, f"{shown} is {kind}; an adapter is LORA, LoCon or DoRA there")
    if version.usage not in (None, "Download"):
        message = f"{shown}: its creator lets it be used at Civitai only, not downloaded ({_word(version.usage or '')})"
        raise SourceRefused(Reason.SOURCE_FORBIDDEN, message)
    file = _choose(version.files, request.file, shown)
    if file.url is None:
        raise SourceRefused(Reason.SOURCE_FORBIDDEN, f"{shown}: Civitai gives no address of {file.name}")
    return CivitaiRepoFile(
        name=file.name,
        sha256=file.sha256,
        url=file.url,
        words=version.words or (),
    )


def _choose(files: Collection[_Offered], wanted: str | None, shown: str) -> _Offered:
    named = [file for file in files if _NAME.fullmatch(file.name)]
    if wanted is not None:
        found = next((file for file in named if wanted in (file.name, str(file.id))), None)
        if found is None:
            raise SourceRefused(Reason.SOURCE_NOT_FOUND, f"{shown} has no file {wanted}; {_has(named)}")
        if not found.is_safetensors:
            message = f"{shown}: {found.name} is {_word(found.format) or 'of no format that it says'}"
            raise SourceRefused(Reason.UNSUPPORTED_FORMAT, f"{message}, and only safetensors is read")
        return found
    fit = [file for file in named if file.is_safetensors and file.type.lower() in _MODEL_FILE]
    if not fit:
        reason = Reason.UNSUPPORTED_FORMAT if named else Reason.SOURCE_NOT_FOUND
        raise SourceRefused(reason, f"{shown} has no safetensors file of a model; {_has(named)}")
    return next((file for file in fit if file.primary), fit[0])


def _has(files: Collection[_Offered]) -> str:
    names = sorted(file.name for file in files)[:5]
    return f"it has {', '.join(names)}" if names else "it has no files"


def _word(text: str) -> str:
    """A word of a stranger, as it can be shown."""
    return "".join(c for c in text if c.isprintable())[:64]
