"""What a condition says of an object that the API server does not take."""

import re
from typing import Final

from lorapool_api.kinds.conditions import Reason
from lorapool_common.kube.errors import ApiError
from lorapool_operator.seen.verdict import Verdict

_TYPED_PATCH: Final = re.compile(r"^failed to create typed patch object \([^)]*\): ")


def refused_object(error: ApiError) -> Verdict | None:
    """The verdict on the pool whose objects were refused; None where the error passes by itself."""
    if error.is_schema_error:
        return Verdict(Reason.INVALID_SPEC, f"the API server refuses what the spec asks for: {_in_words_of(error)}")
    if error.is_taken:
        advice = "rename the pool, or delete what is in its way"
        return Verdict(Reason.INVALID_SPEC, f"{error.message}, so nothing is changed about it: {advice}")
    if error.status == 403:
        return Verdict(Reason.INTERNAL_ERROR, f"the API server does not allow it: {error.message}")
    if error.is_refusal:
        return Verdict(Reason.INVALID_SPEC, f"the API server refuses what the spec asks for: {error.message}")
    return None


def _in_words_of(error: ApiError) -> str:
    """`.spec.template` of a Deployment is what the pool has under `spec.runtime.podTemplate`."""
    return _TYPED_PATCH.sub("", error.message).strip().replace(".spec.template.", "spec.runtime.podTemplate.")
