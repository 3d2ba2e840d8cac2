"""What the menus of A1111's clients are filled with: pure."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from lorapool_gateway.callers.caller import EVERYTHING, Scope
from lorapool_gateway.cluster.snapshot import Snapshot
from lorapool_gateway.errors import BadRequest, UnknownModel
from lorapool_gateway.http.fields.fields import short
from lorapool_gateway.http.models import find_model, served_models
from lorapool_gateway.http.sdapi.dialect import LATENT_UPSCALERS, PIXEL_UPSCALERS, untitled
from lorapool_gateway.http.sdapi.samplers import sampler_rows, schedule_rows

CHECKPOINT: Final = "sd_model_checkpoint"
# Menus of what there is none of here; a client that fills one with nothing goes on.
_EMPTY: Final[Mapping[str, Any]] = {
    "embeddings": {"loaded": {}, "skipped": {}},
    "face-restorers": [],
    "hypernetworks": [],
    "prompt-styles": [],
    "realesrgan-models": [],
    "scripts": {"txt2img": [], "img2img": []},
    "sd-modules": [],
    "sd-vae": [],
    "cmd-flags": {},
}


# What does not depend on the models that there are.
_FIXED: Final[Mapping[str, Any]] = {
    "samplers": sampler_rows(),
    "schedulers": schedule_rows(),
    "upscalers": [
        {"name": name, "model_name": None, "model_path": None, "model_url": None, "scale": 4.0}
        for name in PIXEL_UPSCALERS
    ],
    "latent-upscale-modes": [{"name": name} for name in LATENT_UPSCALERS],
    **_EMPTY,
}
NAMES: Final = ("sd-models", "loras", "options", *_FIXED)


def menu(name: str, snapshot: Snapshot, pool: str | None, scope: Scope = EVERYTHING) -> Any:
    """What `GET` of that name answers, one of `NAMES`; `pool`: the only one whose models are shown."""
    if name in _FIXED:
        return _FIXED[name]
    rows = [row for row in served_models(snapshot, scope) if pool in (None, row["pool"])]
    bases = [row for row in rows if row["kind"] == "base"]
    match name:
        case "sd-models":
            return [_checkpoint(row, snapshot) for row in bases]
        case "loras":
            return [_lora(row) for row in rows if row["kind"] == "adapter"]
    return _options(bases)


def check_options(wanted: Mapping[str, Any], snapshot: Snapshot, pool: str | None, scope: Scope = EVERYTHING) -> None:
    """Return where the options are what they are already: they would be those of all other clients too.

    Raises:
        BadRequest: they are others, with how to say it in the request for an image.
        UnknownModel
        OutOfScope
    """
    for name, value in wanted.items():
        if name != CHECKPOINT:
            raise BadRequest(f"option {short(name)} cannot be set here: it would be that of all clients", param=name)
        if not isinstance(value, str):
            raise BadRequest(f"{CHECKPOINT} must be the name of a base", param=CHECKPOINT)
        found = find_model(untitled(value), snapshot, scope)
        if found["kind"] != "base" or pool not in (None, found["pool"]):
            raise UnknownModel(untitled(value))
        if pool is None and len(snapshot.pools) > 1:
            address = f"/pools/{found['pool']}/sdapi/v1"
            way = f"override_settings: {{{CHECKPOINT!r}: ...}} in requests, or the address {address}"
            raise BadRequest(f"which base is used is no option of all clients: say it by {way}", param=CHECKPOINT)


def _checkpoint(row: Mapping[str, Any], snapshot: Snapshot) -> dict[str, Any]:
    base = snapshot.pools[row["pool"]].status.model
    revision = (base.revision if base else None) or ""
    title = f"{row['id']} [{revision[:10]}]" if revision else row["id"]
    return {
        "title": title,
        "model_name": row["id"],
        "hash": revision[:10] or None,
        "sha256": None,
        "filename": row["id"],
        "config": None,
    }


def _lora(row: Mapping[str, Any]) -> dict[str, Any]:
    fields = ("trigger_words", "sha256", "scale", "defaults", "pool", "thumbnail")
    shown = {name: row[name] for name in fields if name in row}
    return {"name": row["id"], "alias": row["id"], "path": row["id"], "metadata": shown}


def _options(bases: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        CHECKPOINT: bases[0]["id"] if len(bases) == 1 else None,
        "samples_format": "png",
        "CLIP_stop_at_last_layers": 1,
    }
