"""What the process is told by its environment."""

import os
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from lorapool_api import names
from lorapool_api.kinds.base_model import BaseModelSpec
from lorapool_api.kinds.sources import ModelSource
from lorapool_api.wire.config import RuntimeConfig
from lorapool_common.http.listening import host_of, listen_host


class Settings(BaseSettings):
    """The process's settings: in a pod all of them come from the environment."""

    model_config = SettingsConfigDict(env_prefix="LORAPOOL_", frozen=True, extra="ignore", populate_by_name=True)

    config: RuntimeConfig = Field(validation_alias=names.CONFIG_ENV, description="What the pool says, in JSON.")
    pod_name: str = Field(default="local", validation_alias="POD_NAME", description="Named in replies.")
    pod_ip: str | None = Field(
        default=None,
        validation_alias="POD_IP",
        description="The pod's address: where it is a loopback address, both ports are at it alone.",
    )
    listen: str | None = Field(default=None, description="Address of both ports; default: all of the pod's.")
    serving_port: int = Field(default=names.SERVING_PORT, description="Requests, health and metrics.")
    control_port: int | None = Field(default=names.CONTROL_PORT, description="The operator's; None: there is none.")
    cache_dir: Path = Field(
        default=Path(names.CACHE_DIR), description="Adapters by sha256, the last catalog, and the Hub's own cache."
    )
    control_token_dir: Path = Field(
        default=Path(names.CONTROL_TOKEN_DIR), description="Folder with the control token, as a Secret is mounted."
    )
    pod_root: str = Field(
        default="", description="Folder that stands for the root of the file system, where a node has no mounts."
    )
    civitai_endpoint: str | None = Field(
        default=None, validation_alias="CIVITAI_ENDPOINT", description="Address of Civitai's mirror."
    )
    grace_seconds: float | None = Field(
        default=None, description="How long a stopping process finishes what runs; default: a request's longest time."
    )
    ready_deadline_seconds: float = Field(
        default=120.0,
        description="How long a started pod waits at most for adapters that it, or the pod that it replaces, served.",
    )
    hung_seconds: float | None = Field(
        default=None,
        description="How long the engine may work beyond a request's time; default: 30, on a CPU 600.",
    )
    otlp_endpoint: str | None = Field(
        default=None,
        validation_alias="OTEL_EXPORTER_OTLP_ENDPOINT",
        description="Where traces are sent to (OTLP over HTTP); None: there are none.",
    )
    log_level: str = Field(default="INFO", description="DEBUG, INFO, WARNING or ERROR.")

    @property
    def host(self) -> str:
        """The address to listen on."""
        return listen_host(self.listen, self.pod_ip)

    @property
    def grace_s(self) -> float:
        """The operator gives a pod's process a little longer than this."""
        return self.config.serving.request_timeout_seconds if self.grace_seconds is None else self.grace_seconds

    @property
    def cache(self) -> Path:
        """Where the cache really is."""
        return Path(f"{self.pod_root}{self.cache_dir}")

    @property
    def place(self) -> str | None:
        """The pod's address as callers know it, without a port; None outside of a pod."""
        return None if self.pod_ip is None else host_of(self.pod_ip)

    @property
    def control_token_file(self) -> Path:
        return Path(f"{self.pod_root}{self.control_token_dir}") / names.CONTROL_TOKEN_KEY

    @property
    def model(self) -> BaseModelSpec:
        """The base model, its folders where they really are."""
        spec = self.config.model
        others = {"vae": spec.vae and self._located(spec.vae), "config": spec.config and self._located(spec.config)}
        controls = tuple(control.with_sources(self._located) for control in spec.controls)
        return spec.model_copy(update={"source": self._located(spec.source), **others, "controls": controls})

    def _located(self, source: ModelSource) -> ModelSource:
        return source.model_copy(update={"path": f"{self.pod_root}{source.path}"}) if source.path else source


def prepare_environment(cache_dir: Path) -> None:
    """Set what libraries read from the environment when they are imported, so call it before that.

    Everything that they write goes below the cache folder: the root file system is read-only.
    """
    os.environ.setdefault("HF_HOME", str(cache_dir / "hf"))
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("HF_HUB_DOWNLOAD_TIMEOUT", "20")
    os.environ.setdefault("HF_XET_CACHE", str(cache_dir / "xet"))
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # What a denoiser was compiled to: the next process finds it there.
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache_dir / "compiled"))
    os.environ.setdefault("TRITON_CACHE_DIR", str(cache_dir / "compiled" / "triton"))
