"""Credentials of object stores, by the names that their own tools use. What is not named here is never looked at."""

import json
from collections.abc import Mapping
from typing import Final

_S3_ID, _S3_SECRET, _S3_TOKEN = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"
_GOOGLE: Final = "GOOGLE_SERVICE_ACCOUNT_KEY"
_AZURE_KEY, _AZURE_SAS = "AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_SAS_TOKEN"

# kind of store -> what its Secret may hold.
NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "s3": (_S3_ID, _S3_SECRET, _S3_TOKEN),
    "gcs": (_GOOGLE,),
    "azure": (_AZURE_KEY, _AZURE_SAS),
}
# What a signature needs of a service account's key. Besides it such a file can name addresses, and libraries go there.
_OF_GOOGLE: Final = ("private_key", "private_key_id", "client_email")


class UnusableCredentials(Exception):
    """What was given are no credentials of such a store. The text names keys, never what they hold."""


def s3_key(given: Mapping[str, str]) -> dict[str, str | None]:
    """As obstore takes it. Raises: UnusableCredentials."""
    return {
        "access_key_id": _required(given, _S3_ID),
        "secret_access_key": _required(given, _S3_SECRET),
        "token": given.get(_S3_TOKEN) or None,
        "expires_at": None,
    }


def google_key(given: Mapping[str, str]) -> str:
    """The key of a service account in JSON, without all that does not sign. Raises: UnusableCredentials."""
    text = _required(given, _GOOGLE)
    try:
        key = json.loads(text)
        return json.dumps({name: str(key[name]) for name in _OF_GOOGLE})
    except (ValueError, KeyError, TypeError, RecursionError):
        message = f"{_GOOGLE} is not the JSON of a service account's key with {', '.join(_OF_GOOGLE)}"
        raise UnusableCredentials(message) from None


def azure_key(given: Mapping[str, str]) -> dict[str, str | None]:
    """As obstore takes it. Raises: UnusableCredentials."""
    return {"access_key": _required(given, _AZURE_KEY), "expires_at": None}


def azure_sas(given: Mapping[str, str]) -> str | None:
    """The signature that somebody else has made, as it stands in an address. Raises: UnusableCredentials."""
    sas = given.get(_AZURE_SAS, "").strip().removeprefix("?")
    if not sas:
        return None
    if any(c in sas for c in "#\\ \r\n\t") or not sas.isascii() or not sas.isprintable():
        raise UnusableCredentials(f"{_AZURE_SAS} is no query of an address")
    return sas


def _required(given: Mapping[str, str], name: str) -> str:
    value = given.get(name, "").strip()
    if not value:
        raise UnusableCredentials(f"{name} is missing")
    return value
