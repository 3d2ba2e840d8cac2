"""The C2PA manifest of one picture: pure.

https://spec.c2pa.org/specifications/specifications/2.2/specs/C2PA_Specification.html; the kinds of sources are IPTC's:
https://cv.iptc.org/newscodes/digitalsourcetype/.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from lorapool_api.rules.undeclared import undeclared_repo
from lorapool_api.wire.reply import UsedAdapter
from lorapool_api.wire.weighting.scale import Weighting, scale_text

# The assertion of ours: labels of others than C2PA's own are names of domains, backwards.
RECIPE_LABEL: Final = "dev.lorapool.recipe"
_SOURCES: Final = "http://cv.iptc.org/newscodes/digitalsourcetype/"
_MADE_BY_A_MODEL: Final = f"{_SOURCES}trainedAlgorithmicMedia"
_COMPOSITE: Final = f"{_SOURCES}compositeWithTrainedAlgorithmicMedia"


@dataclass(frozen=True)
class PictureClaim:
    """What a manifest says of one picture.

    Attributes:
        base, revision: label and commit of the base model.
        of_picture: it was made of a picture that the client sent.
        prompt: None, as the negative one: the picture does not say.
    """

    pool: str
    base: str
    revision: str
    adapters: Sequence[UsedAdapter]
    seed: int
    of_picture: bool
    made_at: datetime
    version: str
    prompt: str | None = None
    negative_prompt: str | None = None


def manifest_of(claim: PictureClaim) -> dict[str, Any]:
    """What c2pa's builder takes."""
    software = {"name": "lorapool", "version": claim.version}
    created = {
        "action": "c2pa.created",
        "when": claim.made_at.isoformat(timespec="seconds"),
        "softwareAgent": software,
        "digitalSourceType": _COMPOSITE if claim.of_picture else _MADE_BY_A_MODEL,
    }
    return {
        "claim_generator_info": [software],
        "assertions": [
            {"label": "c2pa.actions.v2", "created": True, "data": {"actions": [created]}},
            {"label": RECIPE_LABEL, "created": True, "data": _recipe(claim)},
        ],
    }


def _scale(scale: float | Weighting) -> float | str:
    return scale_text(scale) if isinstance(scale, Weighting) else scale


def _recipe(claim: PictureClaim) -> dict[str, Any]:
    prompts = {"prompt": claim.prompt, "negativePrompt": claim.negative_prompt}
    return {
        "pool": claim.pool,
        "base": {"name": claim.base, "revision": claim.revision},
        "adapters": [
            {"name": undeclared_repo(use.key) or use.key, "sha256": use.sha256, "scale": _scale(use.scale)}
            for use in claim.adapters
        ],
        "seed": claim.seed,
        "software": f"lorapool {claim.version}",
        **{name: text for name, text in prompts.items() if text is not None},
    }
