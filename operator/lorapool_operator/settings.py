"""The operator's settings, from the environment of its pod."""

import socket
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from lorapool_api.kinds.runtime import EngineName
from lorapool_api.names import GATEWAY, OPERATOR
from lorapool_api.wire.config import TrustedKeys
from lorapool_common.http.listening import listen_host
from lorapool_common.settings import CommaList
from lorapool_common.signed.calls import Signer
from lorapool_common.signed.keys import MIN_KEY_BYTES, public_text, read_keys, signing_key


class NetworkPeers(BaseModel):
    """Who may reach the pods of pools, each as a `NetworkPolicyPeer` of Kubernetes.

    Attributes:
        gateways: at the serving port; operators: at the control port.
        metrics: at the serving port too, to read metrics.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    gateways: tuple[dict[str, Any], ...]
    operators: tuple[dict[str, Any], ...]
    metrics: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True)
class InstallationKeys:
    """Random bytes of the installation's Secrets, each with those before them: pods trust the first of each.

    Attributes:
        gateways: empty: pods take requests of everybody.
    """

    operators: tuple[bytes, ...]
    gateways: tuple[bytes, ...] = ()

    @cached_property
    def trusted(self) -> TrustedKeys:
        """What pods are told of them; of the first alone, so that dropping the ones before starts no pod anew."""
        return TrustedKeys(
            operators=tuple(public_text(signing_key(key, OPERATOR)) for key in self.operators[:1]),
            gateways=tuple(public_text(signing_key(key, GATEWAY)) for key in self.gateways[:1]),
        )

    @cached_property
    def signer(self) -> Signer:
        """Of the operator's calls: pods take them that trust the key, or still the one before."""
        return Signer([signing_key(key, OPERATOR) for key in self.operators])


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
        description=f"Random bytes, at least {MIN_KEY_BYTES}: keys for signing calls are derived from them, and tokens "
        "by which pods know each other. The ones before them may be in `<file>.previous`.",
    )
    gateway_key_file: Path | None = Field(
        default=None, description="The gateways' key, whose calls pods take; None: their serving ports are open."
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
    network_peers: NetworkPeers | None = Field(
        default=None, description="Who may reach the pods of pools, in JSON; None: no NetworkPolicies are made."
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

    def read_keys(self) -> InstallationKeys:
        """Raises: KeyUnusable."""
        gateways = () if self.gateway_key_file is None else read_keys(self.gateway_key_file)
        return InstallationKeys(read_keys(self.key_file), gateways)
