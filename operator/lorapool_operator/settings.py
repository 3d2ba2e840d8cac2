"""The operator's settings, from the environment of its pod."""

import socket
from pathlib import Path
from typing import Final

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from lorapool_api.kinds.runtime import Engine
from lorapool_common.http.listening import listen_host
from lorapool_common.settings import CommaList

MIN_KEY_BYTES: Final = 16


class SettingsError(Exception):
    """The installation is not complete; the message says what is missing."""


class Settings(BaseSettings):
    """See the table in this package's README."""

    model_config = SettingsConfigDict(env_prefix="LORAPOOL_", frozen=True, populate_by_name=True)

    namespace: str = Field(default="default", validation_alias="POD_NAMESPACE")
    identity: str = Field(default_factory=socket.gethostname, validation_alias="POD_NAME")
    pod_ip: str | None = Field(default=None, validation_alias="POD_IP")
    listen: str | None = None
    port: int = 8080
    key_file: Path = Path("/etc/lorapool/operator/key")
    runtime_image: str = "lorapool-runtime"
    stub_image: str | None = None
    namespaces: CommaList = ()
    url_hosts: CommaList = ()
    hf_endpoint: str | None = Field(default=None, validation_alias="HF_ENDPOINT")
    lease: str = "lorapool-operator"
    log_level: str = "INFO"

    @property
    def address(self) -> str:
        """Where health and metrics are served."""
        return listen_host(self.listen, self.pod_ip)

    def image_for(self, engine: Engine) -> str:
        """The image of a pool that names none."""
        return self.stub_image or self.runtime_image if engine is Engine.STUB else self.runtime_image

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
