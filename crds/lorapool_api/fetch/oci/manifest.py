"""What a manifest says of its layers, and which of them holds an adapter's weights.

A layer's digest is the sha256 of its content: what a manifest names is known before a byte of it is read.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from pydantic import BaseModel, Field, ValidationError

from lorapool_api.fetch.hub_files import DEFAULT_FILE, choose_file, is_embedding
from lorapool_api.fetch.policy import SourceRefused
from lorapool_api.kinds.conditions import Reason

MAX_MANIFEST_BYTES: Final = 1 << 20
MAX_LAYERS: Final = 64
_MANIFESTS: Final = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
_INDEXES: Final = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
ACCEPT: Final = ", ".join((*_MANIFESTS, *_INDEXES))
# oras writes the first; the others are ModelPack's, and those that it had before it moved to the CNCF.
_NAMES: Final = ("org.opencontainers.image.title", "org.cncf.model.filepath", "org.cnai.model.filepath")
_UNPACK: Final = "io.deis.oras.content.unpack"
# What oras calls a plain file whose type nobody named: it is no tar.
_PLAIN_FILE: Final = "application/vnd.oci.image.layer.v1.tar"
_NAME: Final = re.compile(r"([A-Za-z0-9._@+=, -]+/)*[A-Za-z0-9._@+=, -]+")
_MAX_NAME: Final = 256
_DIGEST: Final = r"^sha256:[0-9a-f]{64}$"
_ARCHIVE: Final = re.compile(r"\.tar$|[.+](gzip|zstd)$")
_NO_PLATFORM: Final = "unknown"
HOW_TO_PUSH: Final = "push the file itself, as `oras push REGISTRY/NAME:TAG adapter.safetensors` does"


class _Platform(BaseModel):
    os: str | None = None


class _Descriptor(BaseModel):
    digest: str = Field(pattern=_DIGEST)
    size: int = Field(ge=0)
    media_type: str = Field(default="", alias="mediaType")
    annotations: dict[str, str] | None = None
    platform: _Platform | None = None


class _Document(BaseModel):
    """A manifest or an index of manifests."""

    media_type: str = Field(default="", alias="mediaType")
    layers: tuple[_Descriptor, ...] | None = None
    manifests: tuple[_Descriptor, ...] | None = None


@dataclass(frozen=True)
class OciLayer:
    """A file of an artifact.

    Attributes:
        name: below the artifact's root, with `/` between folders.
        digest: `sha256:` and 64 hexadecimal digits.
        is_archive: its content is not the file, but an archive that holds it.
    """

    name: str
    digest: str
    size_bytes: int
    is_archive: bool = False

    @property
    def sha256(self) -> str:
        """Of the content."""
        return self.digest.removeprefix("sha256:")


@dataclass(frozen=True)
class OciManifest:
    """The files of an artifact; layers without a name are left out."""

    digest: str
    layers: tuple[OciLayer, ...]

    def named(self, name: str) -> OciLayer | None:
        """The file of that name."""
        return next((layer for layer in self.layers if layer.name == name), None)

    def sidecar(self, weights: str, name: str) -> OciLayer | None:
        """The file of that name in the same folder as the weights."""
        return self.named(str(PurePosixPath(weights).with_name(name)))


@dataclass(frozen=True)
class OciIndex:
    """A list of manifests that has one alone: of an image for a single platform."""

    only: str


def read_manifest(body: bytes, shown: str, digest: str | None = None) -> OciManifest | OciIndex:
    """What a registry sent as a manifest; it may take long to read: at most `MAX_MANIFEST_BYTES` are given here.

    Args:
        digest: what was asked for, where it was asked for by its digest.

    Raises:
        SourceRefused: it is another content, none that is understood, or a list of several artifacts.
    """
    found = f"sha256:{hashlib.sha256(body).hexdigest()}"
    if digest is not None and found != digest:
        raise SourceRefused(Reason.CHECKSUM_MISMATCH, f"{shown}: the registry sent the manifest {found}")
    try:
        document = _Document.model_validate_json(body)
    except ValidationError as error:
        raise SourceRefused(Reason.UNSUPPORTED_FORMAT, f"{shown}: its manifest is not understood") from error
    if document.manifests is not None or document.media_type in _INDEXES:
        return _only(document.manifests or (), shown)
    if document.layers is None:
        raise SourceRefused(Reason.UNSUPPORTED_FORMAT, f"{shown}: its manifest names no layers")
    if len(document.layers) > MAX_LAYERS:
        message = f"{shown} has {len(document.layers)} layers; an adapter has at most {MAX_LAYERS}"
        raise SourceRefused(Reason.UNSUPPORTED_FORMAT, message)
    named = ((_name(layer.annotations or {}), layer) for layer in document.layers)
    return OciManifest(found, tuple(_layer(name, layer) for name, layer in named if name))


def choose_layer(manifest: OciManifest, file: str | None, shown: str) -> OciLayer:
    """The layer of that name; else the usual name, else the only weights file that is not an embedding.

    Raises:
        SourceRefused: there is none, or there are several, or it is packed.
    """
    names = [layer.name for layer in manifest.layers]
    weights = sorted(name for name in names if name.endswith(".safetensors") and not is_embedding(name))
    if file is None and len(weights) > 1 and DEFAULT_FILE not in weights:
        message = f"{shown} has several weights files: {_listed(weights)}; name one in spec.source.oci.file"
        raise SourceRefused(Reason.SOURCE_NOT_FOUND, message)
    name = choose_file(names, file)
    layer = manifest.named(name) if name else None
    if layer is None:
        raise SourceRefused(*_no_layer(manifest, file, shown))
    if layer.is_archive:
        message = f"{shown}: the layer {layer.name} is an archive; {HOW_TO_PUSH}"
        raise SourceRefused(Reason.UNSUPPORTED_FORMAT, message)
    return layer


def _no_layer(manifest: OciManifest, file: str | None, shown: str) -> tuple[Reason, str]:
    """Why nothing could be chosen."""
    has = f"it has {_listed([layer.name for layer in manifest.layers])}" if manifest.layers else "no layer has a name"
    if file is None and (not manifest.layers or any(layer.is_archive for layer in manifest.layers)):
        return Reason.UNSUPPORTED_FORMAT, f"{shown} holds no safetensors file as a layer: {has}; {HOW_TO_PUSH}"
    return Reason.SOURCE_NOT_FOUND, f"{shown} has no {f'layer {file}' if file else 'weights file'}; {has}"


def _only(manifests: Sequence[_Descriptor], shown: str) -> OciIndex:
    """Attestations, which buildkit puts beside images, are of no platform."""
    real = [m for m in manifests if m.platform is None or m.platform.os != _NO_PLATFORM]
    if len(real) != 1:
        message = f"{shown} is a list of {len(real)} manifests; name one of them by its digest"
        raise SourceRefused(Reason.SOURCE_NOT_FOUND, message)
    return OciIndex(real[0].digest)


def _name(annotations: dict[str, str]) -> str | None:
    """A layer's file name, where it says one that can be shown."""
    written = next((annotations[key] for key in _NAMES if key in annotations), "").removeprefix("./")
    return written if len(written) <= _MAX_NAME and _NAME.fullmatch(written) else None


def _layer(name: str, layer: _Descriptor) -> OciLayer:
    unpacks = (layer.annotations or {}).get(_UNPACK) == "true"
    is_archive = unpacks or (layer.media_type != _PLAIN_FILE and _ARCHIVE.search(layer.media_type) is not None)
    return OciLayer(name, layer.digest, layer.size, is_archive)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(sorted(names)[:5]) + (", ..." if len(names) > 5 else "")
