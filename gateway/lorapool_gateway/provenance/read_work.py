"""Reads pictures that strangers send: in a process of its own, which has no key and knows no secret.

A request's head has `want`: `report` or `texts`, and `public_keys` in hexadecimal digits. The reply's head is what was
found, or `{"error": ...}` for what is no picture.
"""

import json
import warnings
from io import BytesIO
from typing import Any, Final

import c2pa
from PIL import ExifTags, Image

from lorapool_gateway.provenance.framed import framed, unframed
from lorapool_gateway.provenance.jumbf import is_signed_by
from lorapool_gateway.provenance.manifest import RECIPE_LABEL

_FORMATS: Final = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp", "TIFF": "image/tiff"}
# Nobody asks the network, and nobody's list of certificates decides: known keys do.
_SETTINGS: Final[dict[str, Any]] = {
    "verify": {"verify_trust": True, "remote_manifest_fetch": False, "ocsp_fetch": False},
    "core": {"allowed_network_hosts": [], "decode_identity_assertions": False},
}
# What is wrong with a certificate, not with the picture; whose key it is, is seen otherwise.
_OF_CERTIFICATE: Final = frozenset({"signingCredential.untrusted", "signingCredential.expired"})
_NEEDED: Final = frozenset({"claimSignature.validated", "assertion.dataHash.match"})
_EXPIRED: Final = "signingCredential.expired"
_UNICODE: Final = b"UNICODE\0"
_ASCII: Final = b"ASCII\0\0\0"
_CODE_BYTES: Final = 8
_TEXT_CHARACTERS: Final = 64_000
_MOST_TEXTS: Final = 32
_SHORT: Final = 200


def answer(request: bytes) -> bytes:
    head, picture = unframed(request)
    data = bytes(picture)
    warnings.simplefilter("ignore")
    try:
        with Image.open(BytesIO(data), formats=tuple(_FORMATS)) as opened:
            if head["want"] == "texts":
                return framed(_texts(opened))
            format_ = str(opened.format)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 -- of bytes that may be anything
        return framed({"error": f"the body is no PNG, JPEG, WebP or TIFF ({type(error).__name__})"})
    keys = [bytes.fromhex(key) for key in head["public_keys"]]
    return framed(report(data, _FORMATS[format_], keys))


def report(data: bytes, media_type: str, public_keys: list[bytes]) -> dict[str, Any]:
    """The fields of a `PictureReport`."""
    store = BytesIO()
    try:
        with (
            c2pa.Context.from_dict(_SETTINGS) as context,
            c2pa.Reader(media_type, BytesIO(data), context=context) as reader,
        ):
            found = json.loads(reader.json())
            label = str(found.get("active_manifest"))
            reader.resource_to_stream(f"self#jumbf=/c2pa/{label}", store)
    except c2pa.C2paError.ManifestNotFound:
        return _unsigned("the picture holds no C2PA manifest: it was not signed, or what was signed was taken out")
    except (c2pa.C2paError, ValueError) as error:
        return _unreadable(str(error))
    return judged(found, store.getvalue(), public_keys)


def judged(found: dict[str, Any], store: bytes, public_keys: list[bytes]) -> dict[str, Any]:
    """What the validation of a manifest, and the keys that are known, make of a picture.

    Args:
        found: what c2pa's reader says.
        store: the boxes that its manifests lie in.
    """
    label = str(found.get("active_manifest"))
    manifest = found.get("manifests", {}).get(label)
    if manifest is None:
        return _unreadable("it has no part that is in force")
    active = found.get("validation_results", {}).get("activeManifest", {})
    success, failure = ({str(row.get("code")) for row in active.get(kind, ())} for kind in ("success", "failure"))
    is_valid = success >= _NEEDED and failure <= _OF_CERTIFICATE
    try:
        is_ours = is_valid and is_signed_by(store, label, public_keys)
    except ValueError:
        is_ours = False
    signer = manifest.get("signature_info", {})
    recipes = [row["data"] for row in manifest.get("assertions", ()) if row.get("label") == RECIPE_LABEL]
    return {
        "signed": True,
        "valid": is_valid,
        "ours": is_ours,
        "signer": {"common_name": signer.get("common_name"), "organization": signer.get("issuer")},
        "made_with": recipes[0] if is_ours and len(recipes) == 1 else None,
        "reasons": _reasons(failure, is_valid=is_valid, is_ours=is_ours, has_keys=bool(public_keys)),
        "codes": sorted(failure),
    }


def _reasons(failure: set[str], *, is_valid: bool, is_ours: bool, has_keys: bool) -> list[str]:
    said = []
    if not is_valid:
        said.append("the picture is not the one that was signed, or its manifest was changed")
    elif not has_keys:
        said.append("this installation signs no pictures: it has no key (gateway.contentCredentials.secretName)")
    elif not is_ours:
        said.append("it was signed with a key that is none of this installation's; what it says of itself is not shown")
    if is_ours and _EXPIRED in failure:
        said.append("the certificate has ended since; the key is one of this installation's")
    return said


def _unsigned(why: str) -> dict[str, Any]:
    return {"signed": False, "valid": False, "ours": False, "reasons": [why]}


def _unreadable(why: str) -> dict[str, Any]:
    return _unsigned(f"the picture holds a C2PA manifest that cannot be read: {why[:_SHORT]}") | {"signed": True}


def _texts(opened: Image.Image) -> dict[str, Any]:
    """Those of a PNG, and the comment of Exif, where the WebUI writes into the other formats."""
    texts = {str(name): value for name, value in opened.info.items() if isinstance(value, str)}
    parameters = texts.pop("parameters", None)
    if parameters is None:
        parameters = _comment(opened.getexif().get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.UserComment))
    few = list(texts.items())[:_MOST_TEXTS]
    others = {name[:_SHORT]: text[:_SHORT] for name, text in few}
    return {"parameters": None if parameters is None else parameters[:_TEXT_CHARACTERS], "others": others}


def _comment(value: object) -> str | None:
    if isinstance(value, str):
        return value
    if not isinstance(value, bytes):
        return None
    code, text = value[:_CODE_BYTES], value[_CODE_BYTES:]
    if code == _UNICODE:
        return text.decode("utf-16-be", "replace")
    return text.decode("ascii", "replace") if code == _ASCII else None
