"""A name that stands for several adapters: the gateway names its members to the pods."""

from typing import Any

import pytest
from tests import make
from tests.unit.gateway.fakes import SHA, ready, snapshot

from lorapool_api.kinds.adapter import Adapter
from lorapool_api.kinds.conditions import Reason
from lorapool_api.wire.request import AdapterUse, GenerateRequest
from lorapool_api.wire.weighting.scale import Weighting
from lorapool_gateway.cluster.snapshot import Snapshot
from lorapool_gateway.errors import AdapterUnavailable, BadRequest
from lorapool_gateway.http.models import find_model, served_models
from lorapool_gateway.routing.request import ImageRequest, NamedAdapter
from lorapool_gateway.routing.resolve import resolve, with_files

MEMBERS = (
    ready("pixel", scale=0.5, triggerWords=["pixel art"]),
    ready("ink", modelIds=["nerijs/ink-xl"], triggerWords=["ink"], defaults={"negativePrompt": "blur"}),
    ready("fast", defaults={"steps": 4, "guidanceScale": 1, "scheduler": "lcm"}),
)


def stack(*members: Any, name: str = "comic", **spec: Any) -> Adapter:
    listed = [{"name": m} if isinstance(m, str) else {"name": m[0], "scale": m[1]} for m in members]
    return ready(name, source={"stack": listed}, **spec)


def sent(known: Snapshot, model: str, *loras: NamedAdapter, **said: Any) -> GenerateRequest:
    """The request as a pod gets it."""
    resolved = resolve(ImageRequest(GenerateRequest(prompt="a cat", **said), model, loras), known)
    return with_files(resolved.generate, known)


def uses(request: GenerateRequest) -> list[tuple[str, float | Weighting | None]]:
    return [(use.key, use.scale) for use in request.adapters]


def test_a_stack_is_its_members_each_at_its_scale_with_the_file_that_must_be_used() -> None:
    known = snapshot(adapters=(*MEMBERS, stack(("pixel", 0.8), "nerijs/ink-xl", scale=0.5)))
    request = sent(known, "comic")
    assert request.adapters == (
        AdapterUse(key="default/pixel", scale=0.4, sha256=SHA),
        AdapterUse(key="default/ink", scale=0.5, sha256=SHA),
    )


def test_a_member_without_a_scale_has_its_own_and_the_request_scales_the_whole() -> None:
    known = snapshot(adapters=(*MEMBERS, stack("pixel", "ink")))
    assert uses(sent(known, "comic")) == [("default/pixel", 0.5), ("default/ink", 1.0)]
    assert uses(sent(known, "comic", NamedAdapter("comic", -2.0))) == [("default/pixel", -1.0), ("default/ink", -2.0)]


def test_other_adapters_of_the_request_stand_beside_the_members() -> None:
    known = snapshot(adapters=(*MEMBERS, stack("pixel")))
    assert uses(sent(known, "comic", NamedAdapter("fast"))) == [("default/pixel", 0.5), ("default/fast", None)]


def test_an_adapter_that_a_stack_has_too_is_named_twice() -> None:
    known = snapshot(adapters=(*MEMBERS, stack("pixel"), stack("pixel", name="other")))
    for loras in ([NamedAdapter("pixel")], [NamedAdapter("other")]):
        with pytest.raises(BadRequest, match="default/pixel is named twice"):
            sent(known, "comic", *loras)


def test_the_members_of_stacks_count_as_the_requests_own() -> None:
    many = tuple(ready(f"a{i}") for i in range(10))
    known = snapshot(adapters=(*many, stack(*(f"a{i}" for i in range(8)))))
    assert len(sent(known, "comic").adapters) == 8
    with pytest.raises(BadRequest, match="it has 9"):
        sent(known, "comic", NamedAdapter("a9"))


def test_the_members_of_a_stack_count_where_its_mask_is_white() -> None:
    known = snapshot(adapters=(*MEMBERS, stack("pixel", "ink")))
    assert [use.mask for use in sent(known, "comic", NamedAdapter("comic", mask="iVBO")).adapters] == ["iVBO"] * 2
    assert [use.mask for use in sent(known, "comic").adapters] == [None] * 2


def test_a_scale_that_no_adapter_may_have_is_refused() -> None:
    known = snapshot(adapters=(*MEMBERS, stack(("pixel", 5))))
    with pytest.raises(BadRequest, match="makes pixel as strong as 15"):
        sent(known, "comic", NamedAdapter("comic", 3.0))


@pytest.mark.parametrize(
    ("member", "reason"),
    [("gone", Reason.MEMBER_NOT_FOUND), ("comic", Reason.MEMBER_NOT_FOUND), ("elsewhere", Reason.MEMBER_NOT_FOUND)],
)
def test_a_member_that_is_no_adapter_of_the_pool_refuses_the_request(member: str, reason: Reason) -> None:
    other = ready("elsewhere", pool="other")
    known = snapshot((make.pool(), make.pool("other")), (*MEMBERS, other, stack("pixel", member)))
    with pytest.raises(AdapterUnavailable) as refused:
        sent(known, "comic")
    assert (refused.value.reason, refused.value.transient) == (reason, False)


def test_a_member_that_is_on_its_way_holds_the_request_and_a_suspended_stack_refuses_it() -> None:
    late = snapshot(adapters=(make.adapter("pixel"), stack("pixel")))
    with pytest.raises(AdapterUnavailable) as held:
        sent(late, "comic")
    assert (held.value.key, held.value.transient) == ("default/pixel", True)
    with pytest.raises(AdapterUnavailable, match="Suspended"):
        sent(snapshot(adapters=(*MEMBERS, stack("pixel", suspend=True))), "comic")


def test_an_adapter_of_the_stacks_own_namespace_goes_before_others_of_that_name() -> None:
    pool = make.pool(adapters={"namespaces": {"from": "All"}})
    ref = {"poolRef": {"name": "shapes", "namespace": "default"}}
    old = ready("pixel", age_s=100)
    own = ready("pixel", namespace="team", **ref)
    comic = ready("comic", namespace="team", source={"stack": [{"name": "pixel"}]}, **ref)
    assert uses(sent(snapshot((pool,), (old, own, comic)), "comic")) == [("team/pixel", 1.0)]
    assert uses(sent(snapshot((pool,), (old, comic)), "comic")) == [("default/pixel", 1.0)]


def test_defaults_are_the_stacks_own_then_those_of_its_members() -> None:
    known = snapshot(adapters=(*MEMBERS, stack("ink", "fast", defaults={"guidanceScale": 1.5})))
    request = sent(known, "comic")
    assert (request.steps, request.guidance_scale, request.scheduler) == (4, 1.5, "lcm")
    assert request.negative_prompt == "blur"
    assert sent(known, "comic", steps=9).steps == 9


def test_a_menu_shows_a_stack_with_its_members_and_their_words() -> None:
    known = snapshot(adapters=(*MEMBERS, stack(("pixel", 0.8), "ink")))
    row = find_model("comic", known)
    assert row["stack"] == [{"name": "default/pixel", "scale": 0.8}, {"name": "default/ink", "scale": 1.0}]
    assert (row["trigger_words"], row["defaults"]) == (["pixel art", "ink"], {"negative_prompt": "blur"})
    assert "comic" in {row["id"] for row in served_models(known)}
    assert find_model("comic", snapshot(adapters=(*MEMBERS, stack("ink", triggerWords=["x"]))))["trigger_words"] == [
        "x"
    ]
