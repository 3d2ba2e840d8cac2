"""Signs pictures: in a process of its own, which sees the key and pictures of pods, and nothing of strangers.

A request's head has `chain`, `key` (PEM), `media_type` and `manifest`; the reply's has `error`, empty where the signed
picture follows.
"""

import json
from io import BytesIO
from typing import Any, Final

import c2pa

from lorapool_gateway.provenance.framed import framed, unframed

ALGORITHM: Final = b"es256"
# Nothing is asked of the network, and no smaller picture is put into the manifest.
_SETTINGS: Final[dict[str, Any]] = {
    "builder": {"thumbnail": {"enabled": False}},
    "verify": {"verify_after_sign": False, "remote_manifest_fetch": False, "ocsp_fetch": False},
    "core": {"allowed_network_hosts": []},
}


def answer(request: bytes) -> bytes:
    head, picture = unframed(request)
    signed = BytesIO()
    try:
        info = c2pa.C2paSignerInfo(ALGORITHM, head["chain"].encode(), head["key"].encode(), None)
        with (
            c2pa.Context.from_dict(_SETTINGS) as context,
            c2pa.Signer.from_info(info) as signer,
            c2pa.Builder(json.dumps(head["manifest"]), context) as builder,
        ):
            builder.sign(signer, head["media_type"], BytesIO(picture), signed)
    except c2pa.C2paError as error:
        return framed({"error": str(error) or type(error).__name__})
    return framed({"error": ""}, signed.getbuffer())
