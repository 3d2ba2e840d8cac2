"""The operator's settings, from the environment of its pod."""

import socket
from pathlib import Path
from typing import Final

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from lorapool_api.kinds.runtime import EngineName
from lorapool_common.http.listening import listen_host
from lorapool_common.settings import CommaList

MIN_KEY_BYTES: Final = 16


class SettingsError(Exception):
    """The installation is not complete; the message says what is missing."""


class Settings(BaseSettings):
    """Settings of an operator pod; the chart sets them."""

    model_config = SettingsConfigDict(env_prefix="LORAPOOL_", frozen=True, populate_by_name=True)

    namespace: str = Field(default="default", validation_alias="POD_NAMESPACE", description="Where the Lease is.")
    identity: str = Field(
        default_factory=socket.gethostname, validation_alias="POD_NAME", description="Who holds the Lease."
    )
    pod_ip: str | None = Field(
        default=None,
        validation_alias="POD_IP",
        description="The pod's address: where it is a loopback address, the port is at it alone.",
    )
    listen: str | None = Field(default=None, description="Address of the port; default: all of the pod's.")
    port: int = Field(default=8080, description="Health and metrics.")
    key_file: Path = Field(
        default=Path("/etc/lorapool/operator/key"),
        description=f"Random bytes, at least {MIN_KEY_BYTES}: the control tokens are derived from them.",
    )
    runtime_image: str = Field(default="lorapool-runtime", description="Image of pools that name none.")
    stub_image: str | None = Field(
        default=None, description="The same for the stub engine; default: that of all others."
    )
    runtime_priority_class: str | None = Field(
        default=None, description="PriorityClass of the pods of pools whose podTemplate names none."
    )
    runtime_pull_secrets: CommaList = Field(
        default=(), description="Names of Secrets in a pool's namespace that may pull images, beside its podTemplate's."
    )
    namespaces: CommaList = Field(default=(), description="Namespaces to watch; empty: all.")
    url_hosts: CommaList = Field(
        default=(), description="Hosts that sources may name: `host`, `host:port`, `*.example.org`; empty: none."
    )
    hf_endpoint: str | None = Field(
        default=None, validation_alias="HF_ENDPOINT", description="Address of the Hub, also for the pods."
    )
    civitai_endpoint: str | None = Field(
        default=None, validation_alias="CIVITAI_ENDPOINT", description="Address of Civitai's mirror, also for the pods."
    )
    follow_s: float = Field(
        default=300.0, ge=1.0, description="Seconds between looks at the source of an adapter with `follow`."
    )
    gateway_selector: str | None = Field(
        default=None,
        description="Label selector of this installation's gateway pods, in its own namespace: they are asked how many "
        "requests there are, for pools with `spec.scaling`. None: nobody can be asked.",
    )
    lease: str = Field(default="lorapool-operator", description="Name of the Lease.")
    otlp_endpoint: str | None = Field(
        default=None,
        validation_alias="OTEL_EXPORTER_OTLP_ENDPOINT",
        description="Where runtime pods send traces to (OTLP over HTTP); None: they make none.",
    )
    traces_ratio: str = Field(
        default="1",
        validation_alias="OTEL_TRACES_SAMPLER_ARG",
        description="Share of the requests without a traceparent that runtime pods trace.",
    )
    log_level: str = Field(default="INFO", description="DEBUG, INFO, WARNING or ERROR.")

    @property
    def address(self) -> str:
        """Where health and metrics are served."""
        return listen_host(self.listen, self.pod_ip)

    def image_for(self, engine: EngineName) -> str:
        """The image of a pool that names none."""
        return self.stub_image or self.runtime_image if engine is EngineName.STUB else self.runtime_image

    @property
    def traces_env(self) -> tuple[tuple[str, str], ...]:
        """OpenTelemetry's variables of runtime pods, by name and value."""
        if self.otlp_endpoint is None:
            return ()
        sampler = ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
        ratio = ("OTEL_TRACES_SAMPLER_ARG", self.traces_ratio)
        return ("OTEL_EXPORTER_OTLP_ENDPOINT", self.otlp_endpoint), sampler, ratio

    def read_key(self) -> bytes:
        """The key that control tokens are derived from.

        Raises:
            SettingsError: the file cannot be read or holds too little.
        """
        try:
            key = self.key_file.read_bytes()
        except OSError as error:
            raise SettingsError(f"the operator's key cannot be read: {error}; set LORAPOOL_KEY_FILE") from error
        if len(key) < MIN_KEY_BYTES:
            raise SettingsError(f"{self.key_file} holds {len(key)} bytes; at least {MIN_KEY_BYTES} are needed")
        return key
