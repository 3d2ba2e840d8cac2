"""A server without Kubernetes: the same configuration and catalog, made from the command line and manifests."""

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, assert_never

import yaml
from pydantic import ValidationError

from lorapool_api import names
from lorapool_api.kinds.adapter import AdapterSpec
from lorapool_api.kinds.artifacts import CivitaiSource, OciSource
from lorapool_api.kinds.base_model import BaseModelSpec, Dtype
from lorapool_api.kinds.runtime import Device, EngineName
from lorapool_api.kinds.serving import Serving, ServingDefaults
from lorapool_api.kinds.sources import (
    AdapterSource,
    HubModel,
    HubSource,
    ModelSource,
)
from lorapool_api.kinds.stacks import StackSource
from lorapool_api.rules.defaults import first_said
from lorapool_api.rules.few_steps import recognised
from lorapool_api.wire.catalog import Catalog, CatalogEntry
from lorapool_api.wire.config import RuntimeConfig
from lorapool_api.wire.credentials import credentials_ref
from lorapool_api.wire.sources.any import FileSource, NoFileSource, file_source
from lorapool_api.wire.sources.basic import HubFile, PathFile
from lorapool_common.validation import first_error
from lorapool_runtime.errors import AdapterError

NAMESPACE: Final = "local"
# Where SDXL was trained; the size of a pipeline that does not say.
_USUAL_SIZE: Final = 1024
_HOSTS: Final = ("*", "0.0.0.0/0", "::/0")


class UnusableManifest(Exception):
    """What the command line names cannot be used; the text says why."""


@dataclass(frozen=True)
class Options:
    """What the command line says."""

    model: str
    adapters: tuple[Path, ...]
    engine: EngineName
    device: Device | None
    dtype: Dtype | None
    steps: int | None
    size: int | None


def config(options: Options) -> RuntimeConfig:
    """The configuration of a pod, from a command line. Raises: UnusableManifest."""
    folder = Path(options.model).expanduser()
    device = options.device or _best_device(options.engine)
    dtype = options.dtype or (None if device is Device.CUDA else Dtype.FLOAT32)
    size = options.size or _trained_size(folder)
    defaults = ServingDefaults().model_copy(
        update={"width": size, "height": size, **({"steps": options.steps} if options.steps else {})}
    )
    return RuntimeConfig(
        pool=names.full_name(NAMESPACE, folder.name),
        model=BaseModelSpec(source=_model_source(options.model, folder), dtype=dtype),
        engine=options.engine,
        device=device,
        serving=Serving(defaults=defaults),
        # Whoever starts this process may read these files anyway, and names the hosts in the manifests.
        path_roots=("/",),
        url_hosts=_HOSTS,
    )


def catalog(files: Iterable[Path]) -> Catalog:
    """The catalog of manifests and bare files. Raises: UnusableManifest."""
    entries = [entry for file in files for entry in _entries(file)]
    twice = {e.key for e in entries if sum(o.key == e.key for o in entries) > 1}
    if twice:
        raise UnusableManifest(f"two adapters are called {', '.join(sorted(twice))}")
    return Catalog.of(entries)


def _model_source(model: str, folder: Path) -> ModelSource:
    if folder.is_dir():
        # Not validated: a folder of this machine may have any name.
        return ModelSource.model_construct(path=str(folder.resolve()))
    repo, _, revision = model.partition("@")
    try:
        return ModelSource(hub=HubModel(repo=repo, **({"revision": revision} if revision else {})))
    except ValidationError as error:
        raise UnusableManifest(f"--model {model} is neither a folder nor OWNER/NAME on the Hub") from error


def _best_device(engine: EngineName) -> Device:
    if engine is EngineName.STUB:
        return Device.CPU
    import torch

    return Device.CUDA if torch.cuda.is_available() else Device.CPU


def _trained_size(folder: Path) -> int:
    """Pixels of a side that the pipeline was trained for: the latents' size times the VAE's factor."""
    denoiser = next((c for n in ("unet", "transformer") if (c := _json(folder / n / "config.json"))), {})
    sample, blocks = denoiser.get("sample_size"), _json(folder / "vae" / "config.json").get("block_out_channels")
    if not isinstance(sample, int) or not isinstance(blocks, list):
        return _USUAL_SIZE
    return sample << (len(blocks) - 1)


def _json(path: Path) -> dict[str, Any]:
    try:
        parsed = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _entries(file: Path) -> Iterator[CatalogEntry]:
    if not file.is_file():
        raise UnusableManifest(f"{file} does not exist")
    if file.suffix == ".safetensors":
        source = PathFile(path=str(file.resolve()))
        yield CatalogEntry(
            key=names.full_name(NAMESPACE, file.stem), source=source, recognised=recognised(None, file.name)
        )
        return
    try:
        documents = [d for d in yaml.safe_load_all(file.read_text()) if d is not None]
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UnusableManifest(f"{file} is not YAML: {str(error).splitlines()[0]}") from error
    for document in documents:
        yield _entry(document, file)


def _entry(document: object, file: Path) -> CatalogEntry:
    match document:
        case {"kind": names.ADAPTER_KIND, "metadata": {"name": str(name)}, "spec": dict(spec)}:
            pass
        case _:
            raise UnusableManifest(f"{file} holds something else than {names.ADAPTER_KIND} objects")
    try:
        # Here nothing but the adapter itself counts: the one pool is this process.
        parsed = AdapterSpec.model_validate({"poolRef": {"name": NAMESPACE}, **spec})
    except ValidationError as error:
        place, first = first_error(error, "spec")
        raise UnusableManifest(f"{file}: {name}: {place}: {first['msg']}") from error
    source = _file_source(parsed.source, f"{file}: {name}")
    repo, found = (source.repo, source.file) if isinstance(source, HubFile) else (None, parsed.source.label)
    return CatalogEntry(
        key=names.full_name(NAMESPACE, name),
        source=source,
        sha256=parsed.sha256,
        scale=parsed.scale,
        defaults=first_said(parsed.defaults) if parsed.defaults else None,
        recognised=recognised(repo, found),
        pin=parsed.pin,
    )


def _file_source(source: AdapterSource, where: str) -> FileSource:
    match source.value:
        case HubSource() as hub:
            return _resolved(hub)
        case _ if credentials_ref(source, NAMESPACE) is not None:
            raise UnusableManifest(f"{where}: its source names a Secret, and there are none without Kubernetes")
        case OciSource() | CivitaiSource() as named:
            return _resolved(named)
        case StackSource():
            raise UnusableManifest(f"{where}: stacks are known to the gateway: a request here names the members itself")
    try:
        return file_source(source)
    except NoFileSource as error:
        message = f"{where}: exactly one kind of source that is known here must be set in spec.source"
        raise UnusableManifest(message) from error


def _resolved(source: HubSource | OciSource | CivitaiSource) -> FileSource:
    # Imported late: the Hub's reads the environment that `prepare_environment` sets.
    from lorapool_runtime.sources import hub
    from lorapool_runtime.sources.artifacts import civitai, oci

    try:
        match source:
            case HubSource():
                return hub.resolve(source)
            case OciSource():
                return oci.resolve(source, _HOSTS)
            case CivitaiSource():
                return civitai.resolve(source, os.environ.get("CIVITAI_ENDPOINT"))
            case other:
                assert_never(other)
    except AdapterError as error:
        raise UnusableManifest(error.message) from error
