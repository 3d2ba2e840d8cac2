"""What the gateway is configured with: environment variables `LORAPOOL_*`."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from lorapool_api.names import GATEWAY_HEALTH_PORT
from lorapool_api.wire.request import GENERATE_MAX_BYTES
from lorapool_common.settings import CommaList
from lorapool_gateway.held import KEEP_S, MAX_BODIES_BYTES, MAX_KEPT_BYTES
from lorapool_gateway.spool.disk import MAX_DISK_BYTES


class Settings(BaseSettings):
    """Settings of a gateway pod; the chart sets them."""

    model_config = SettingsConfigDict(env_prefix="LORAPOOL_", frozen=True, populate_by_name=True)

    listen: str | None = Field(default=None, description="Address of both ports; default: all of the pod's.")
    pod_ip: str | None = Field(
        default=None,
        validation_alias="POD_IP",
        description="The pod's address: where it is a loopback address, both ports are at it alone.",
    )
    # Not LORAPOOL_PORT: Kubernetes puts an address under that name where a Service is called lorapool.
    http_port: int = Field(default=8080, description="Inference.")
    health_port: int = Field(
        default=GATEWAY_HEALTH_PORT,
        description="Health, metrics and demand: never behind an Ingress, needs no API key.",
    )
    namespaces: CommaList = Field(default=(), description="Namespaces to watch; empty: all.")
    api_keys_dir: Path | None = Field(
        default=None, description="Folder with one API key a file, as a Secret is mounted; None: everyone may ask."
    )
    service: str | None = Field(
        default=None,
        pattern="^[a-z0-9-]+/[a-z0-9.-]+$",
        description="namespace/name of the gateways' Service: those that are ready behind it share what an API key may "
        "ask for. None: this one is alone.",
    )
    tls_dir: Path | None = Field(
        default=None, description="Folder with `tls.crt` and `tls.key`, as a Secret is mounted; None: plain HTTP."
    )
    content_credentials_dir: Path | None = Field(
        default=None,
        description="Folder with `tls.crt`, `tls.key` and perhaps `previous.crt`, as a Secret is mounted: pictures are "
        "signed with that key, and told by it. None: none is signed.",
    )
    key_file: Path | None = Field(
        default=None,
        description="Random bytes from which the key is derived that requests to pods are signed with, the ones before "
        "them in `<file>.previous`; both are read anew now and then. None: they are not signed.",
    )
    cors_origins: CommaList = Field(default=(), description="Origins whose pages may call; *: all; empty: none.")
    max_body_bytes: int = Field(
        default=GENERATE_MAX_BYTES,
        ge=1,
        description="Largest body of a request; by default what a pod takes: pictures, and a few words.",
    )
    max_held_bytes: int = Field(
        default=MAX_BODIES_BYTES,
        ge=1,
        description="Most bytes of bodies in memory of requests that have no answer yet; beyond, requests are refused "
        "with 429.",
    )
    spool_dir: Path | None = Field(
        default=None,
        description="Folder for bodies larger than 1 MiB, until their requests are answered; None: they are in memory.",
    )
    max_spooled_bytes: int = Field(
        default=MAX_DISK_BYTES, ge=1, description="Most bytes there; beyond, requests are refused with 429."
    )
    keep_seconds: float = Field(
        default=KEEP_S, gt=0, description="How long the answer to a request in the background is kept."
    )
    max_kept_bytes: int = Field(
        default=MAX_KEPT_BYTES,
        ge=1 << 20,
        description="Most bytes of answers that are kept; beyond, the oldest go of the key that has most.",
    )
    public_url: str | None = Field(
        default=None,
        pattern=r"^https?://[^\s/@?#]+(/[^\s?#]*)?$",
        description="The gateway's address as clients have it, with whatever path stands before its own: what pictures "
        "with an address are below. None: the one that each request came to.",
    )
    drain_seconds: float = Field(
        default=0.0,
        ge=0,
        description="How long it still takes requests after SIGTERM, while Services forget its address.",
    )
    grace_seconds: int = Field(
        default=310, ge=1, description="How long requests may then take to end: a pool allows one 300 s by default."
    )
    otlp_endpoint: str | None = Field(
        default=None,
        validation_alias="OTEL_EXPORTER_OTLP_ENDPOINT",
        description="Where traces are sent to (OTLP over HTTP); None: there are none.",
    )
    log_level: str = Field(default="INFO", description="DEBUG, INFO, WARNING or ERROR.")
