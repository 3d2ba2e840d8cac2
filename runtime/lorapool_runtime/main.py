"""`lorapool runtime`: the process of a runtime pod, or a server for one base model on any machine."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from lorapool_api import names
from lorapool_api.kinds.base_model import Dtype
from lorapool_api.kinds.conditions import Reason
from lorapool_api.kinds.runtime import Device, EngineName
from lorapool_api.wire.last_words import LastWords
from lorapool_common import logs
from lorapool_runtime.cache_folder import CacheNotWritable, require_writable
from lorapool_runtime.settings import Settings, prepare_environment
from lorapool_runtime.standalone import Options, UnusableManifest, catalog, config

_DEFAULT_CACHE = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")) / "lorapool"


def command(
    more: Annotated[list[Path] | None, typer.Argument(metavar="FILE...", help="More adapter files.")] = None,
    model: Annotated[
        str | None, typer.Option(help="Folder of a diffusers pipeline, or OWNER/NAME[@REVISION] on the Hub.")
    ] = None,
    adapters: Annotated[
        list[Path] | None, typer.Option(help="LoraAdapter manifests (YAML) or bare .safetensors files.")
    ] = None,
    engine: Annotated[
        EngineName, typer.Option(help="diffusers, or stub: no torch, simulated images.")
    ] = EngineName.DIFFUSERS,
    device: Annotated[Device | None, typer.Option(help="Default: cuda where there is one, else cpu.")] = None,
    dtype: Annotated[Dtype | None, typer.Option(help="Default: float16 on cuda, float32 on the cpu.")] = None,
    steps: Annotated[int | None, typer.Option(help="Steps of a request that does not say.")] = None,
    size: Annotated[int | None, typer.Option(help="Width and height of a request that does not say.")] = None,
    listen: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = names.SERVING_PORT,
    cache: Annotated[Path, typer.Option(help="Folder for downloads.")] = _DEFAULT_CACHE,
) -> None:
    """Serve one base model and many LoRA adapters.

    Without options it is the process of a pod and takes everything from the environment. With --model it serves
    on this machine, without Kubernetes:

    lorapool runtime --model ./sdxl --adapters pixel-art.yaml toy.safetensors

    curl -H 'Accept: image/png' -o a.png localhost:8080/v1/generate -d '{"prompt": "cat", "adapters": [{"key": "toy"}]}'
    """
    if model is None:
        _serve_pod()
        return
    files = (*(adapters or ()), *(more or ()))
    _serve_here(Options(model, files, engine, device, dtype, steps, size), listen, port, cache.expanduser())


def _serve_pod() -> None:
    if names.CONFIG_ENV not in os.environ:
        sys.exit(f"lorapool runtime: give --model, or the configuration of a pod in {names.CONFIG_ENV}")
    try:
        settings = Settings()
    except (ValueError, ValidationError) as error:
        sys.exit(f"lorapool runtime: {names.CONFIG_ENV} cannot be read: {error}")
    logs.configure(settings.log_level)
    try:
        require_writable(settings.cache)
    except CacheNotWritable as error:
        sys.exit(f"lorapool runtime: {LastWords(Reason.CACHE_NOT_WRITABLE, str(error))}")
    prepare_environment(settings.cache)
    from lorapool_runtime.process import serve  # after the environment: it imports huggingface_hub

    serve(settings)


def _serve_here(options: Options, listen: str, port: int, cache: Path) -> None:
    logs.configure()
    try:
        require_writable(cache)
    except CacheNotWritable as error:
        sys.exit(f"lorapool runtime: {error}")
    prepare_environment(cache)
    try:
        settings = Settings(
            config=config(options), listen=listen, serving_port=port, control_port=None, cache_dir=cache
        )
        adapters = catalog(options.adapters)
    except UnusableManifest as error:
        sys.exit(f"lorapool runtime: {error}")
    from lorapool_runtime.process import serve

    serve(settings, adapters)


if __name__ == "__main__":
    typer.run(command)
