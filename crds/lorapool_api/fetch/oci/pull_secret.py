"""Credentials of a registry in a Secret of type kubernetes.io/dockerconfigjson, as kubelets read it."""

import binascii
from base64 import b64decode
from typing import Final
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError

from lorapool_api.fetch.oci.access import PASSWORD, USERNAME
from lorapool_api.fetch.oci.reference import DOCKER_HUB, OciReference

CONFIG_KEY: Final = ".dockerconfigjson"
_VERSIONS: Final = ("/v1", "/v2")


class UnusablePullSecret(Exception):
    """Nothing in the Secret is for the registry; the message says why, and no credential."""


class _Login(BaseModel):
    model_config = ConfigDict(hide_input_in_errors=True)

    username: SecretStr | None = None
    password: SecretStr | None = None
    auth: SecretStr | None = None


class _Config(BaseModel):
    model_config = ConfigDict(hide_input_in_errors=True)

    auths: dict[str, _Login]


def pull_credentials(config: bytes, reference: OciReference) -> dict[str, SecretStr]:
    """User name and password for the artifact, of the entry that names the longest part of its repository.

    Args:
        config: what the Secret holds under `CONFIG_KEY`.

    Raises:
        UnusablePullSecret: it is no such document, or has no user name and password for the registry.
    """
    try:
        auths = _Config.model_validate_json(config).auths
    except ValidationError as error:
        raise UnusablePullSecret(f"{CONFIG_KEY} is no configuration of Docker: it has no `auths`") from error
    meant = sorted((key for key in auths if _is_for(key, reference)), key=len)
    if not meant:
        raise UnusablePullSecret(f"{CONFIG_KEY} has no entry for {reference.registry}")
    pair = _pair(auths[meant[-1]])
    if pair is None:
        message = f"the entry of {CONFIG_KEY} for {reference.registry} has no user name and password"
        raise UnusablePullSecret(message)
    return dict(zip((USERNAME, PASSWORD), map(SecretStr, pair), strict=True))


def _is_for(key: str, reference: OciReference) -> bool:
    """Keys are written as hosts, as addresses of an API, and with the first folders of repositories."""
    try:
        parts = urlsplit(key if "://" in key else f"https://{key}")
    except ValueError:
        return False
    hubs = DOCKER_HUB if reference.registry.lower() in DOCKER_HUB else {reference.registry.lower()}
    folder = parts.path.rstrip("/")
    below = "" if folder in _VERSIONS else folder.removeprefix("/")
    return parts.netloc.lower() in hubs and f"{reference.repository}/".startswith(f"{below}/" if below else "")


def _pair(login: _Login) -> tuple[str, str] | None:
    if login.username and login.password:
        return login.username.get_secret_value(), login.password.get_secret_value()
    try:
        user, colon, password = (
            b64decode(login.auth.get_secret_value()).decode().partition(":") if login.auth else ("",) * 3
        )
    except (binascii.Error, ValueError):
        return None
    return (user, password) if user and colon and password else None
