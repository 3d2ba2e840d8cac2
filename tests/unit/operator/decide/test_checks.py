"""What an adapter must pass, and what it is told when it does not."""

from typing import Any

import pytest
from tests import make
from tests.unit.operator import make as op

from lorapool_api.fetch.hosts import is_allowed
from lorapool_api.kinds.conditions import Reason
from lorapool_api.kinds.pool import PoolStatus
from lorapool_api.lora.facts import read_facts
from lorapool_api.lora.header import parse_header
from lorapool_api.wire.sources.artifacts import CivitaiFile, OciFile
from lorapool_api.wire.state import BaseReport
from lorapool_operator.decide.adapters.decisions import AdapterDecisions
from lorapool_operator.decide.adapters.fit import FitInput
from lorapool_operator.seen.resolution import Resolution, Resolving, Unresolved
from lorapool_operator.seen.verdict import Verdict

KEY = "unet.mid.attn2.to_k"
PIN = "a" * 64


def resolution(rank: int = 4, **fields: Any) -> Resolution:
    """A file with one module of that rank: (16, 32)."""
    text, size = make.safetensors_header({f"{KEY}.lora_A.weight": (rank, 32), f"{KEY}.lora_B.weight": (16, rank)})
    facts = read_facts(parse_header(text, size))
    return Resolution(facts=facts, size_bytes=size, **fields)


def test_an_adapter_that_nothing_speaks_against_passes() -> None:
    assert op.finding(op.seen(make.adapter(), pool=op.pool())) is None


def test_a_pool_that_does_not_exist_is_named() -> None:
    found = op.finding(op.seen(make.adapter(), pool=None))
    assert found is not None
    assert found.verdict.reason is Reason.POOL_NOT_FOUND
    assert "default/shapes" in found.verdict.message


@pytest.mark.parametrize(
    ("rule", "labels", "joins"),
    [
        ({"from": "Same"}, {}, False),
        ({"from": "All"}, {}, True),
        ({"from": "Selector", "selector": {"matchLabels": {"team": "a"}}}, {"team": "a"}, True),
        ({"from": "Selector", "selector": {"matchLabels": {"team": "a"}}}, {"team": "b"}, False),
        ({"from": "Selector", "selector": {"matchLabels": {"team": "a"}}}, None, False),
    ],
)
def test_other_namespaces_join_as_the_pool_says(rule: Any, labels: Any, joins: bool) -> None:
    guest = make.adapter(namespace="guests", poolRef={"name": "shapes", "namespace": "default"})
    known = {} if labels is None else {"guests": labels}
    snapshot = op.seen(guest, pool=op.pool(adapters={"namespaces": rule}), namespace_labels=known)
    assert op.reason(snapshot) is (None if joins else Reason.NAMESPACE_NOT_ALLOWED)


def test_an_adapter_that_may_not_join_takes_no_name_from_one_that_may() -> None:
    stranger = make.adapter("pixel", "guests", age_s=100, poolRef={"name": "shapes", "namespace": "default"})
    ours = make.adapter("pixel")
    snapshot = op.seen(stranger, ours, pool=op.pool())
    assert op.reason(snapshot, ours) is None


def test_the_younger_of_two_with_one_name_is_told_who_has_it() -> None:
    older, younger = make.adapter("a", age_s=10, modelIds=["x/y"]), make.adapter("b", modelIds=["x/y"])
    snapshot = op.seen(older, younger, pool=op.pool())
    found = op.finding(snapshot, younger)
    assert op.reason(snapshot, older) is None
    assert found is not None
    assert found.verdict.message.startswith("'x/y' belongs to adapter default/a")


def test_a_name_of_the_pool_itself_is_never_given_away() -> None:
    snapshot = op.seen(make.adapter("b", modelIds=["shapes"]), pool=op.pool())
    found = op.finding(snapshot)
    assert found is not None
    assert "the pool default/shapes itself" in found.verdict.message


def test_an_adapter_that_is_being_deleted_keeps_its_names_until_it_is_gone() -> None:
    terminating = make.adapter("a", age_s=10, modelIds=["x/y"], metadata={"deletionTimestamp": make.EPOCH.isoformat()})
    waiting = make.adapter("b", modelIds=["x/y"])
    assert op.reason(op.seen(terminating, waiting, pool=op.pool()), waiting) is Reason.NAME_CONFLICT


def test_a_suspended_adapter_is_told_how_to_come_back() -> None:
    assert op.reason(op.seen(make.adapter(suspend=True), pool=op.pool())) is Reason.SUSPENDED


@pytest.mark.parametrize(
    ("path", "allowed"),
    [("/adapters/x.safetensors", True), ("/adapters", False), ("/adapters-other/x", False), ("/etc/passwd", False)],
)
def test_paths_lie_below_what_the_pod_template_mounts(path: str, allowed: bool) -> None:
    snapshot = op.seen(make.adapter(source={"path": path}), pool=op.pool())
    assert op.reason(snapshot) is (None if allowed else Reason.SOURCE_FORBIDDEN)


def test_a_source_of_a_newer_version_concerns_its_adapter_alone() -> None:
    newer = make.adapter("newer", source={"ipfs": {"cid": "b"}})
    results = op.checked(op.seen(newer, make.adapter("pixel"), pool=op.pool()))

    finding = results["default/newer"].finding
    assert finding is not None
    assert finding.verdict.reason is Reason.INVALID_SPEC
    assert results["default/newer"].entry is None
    assert results["default/pixel"].finding is None


def test_urls_name_allowed_hosts_only() -> None:
    good = make.adapter(source={"url": "https://files.example.org/x"})
    bad = make.adapter(source={"url": "https://evil.example.org/x?token=secret"})
    found = op.finding(op.seen(bad, pool=op.pool()))
    assert op.reason(op.seen(good, pool=op.pool())) is None
    assert found is not None
    assert found.verdict.reason is Reason.SOURCE_FORBIDDEN
    assert "secret" not in found.verdict.message


def test_registries_are_allowed_hosts_and_civitai_needs_no_entry() -> None:
    good = make.adapter("a", source={"oci": {"ref": "files.example.org/acme/x:1"}})
    bad = make.adapter(source={"oci": {"ref": "docker.io/acme/x:1"}})
    civitai = make.adapter("b", source={"civitai": {"modelVersion": 7}})
    resolved = Resolution(revision="sha256:" + "a" * 64, file="x.safetensors", sha256="b" * 64)
    results = op.checked(op.seen(good, civitai, pool=op.pool(), outcome=resolved))
    entries = [result.entry.source for result in results.values() if result.entry]
    assert entries == [
        OciFile(ref=f"files.example.org/acme/x@sha256:{'a' * 64}", file="x.safetensors"),
        CivitaiFile(version=7, file="x.safetensors"),
    ]
    found = op.finding(op.seen(bad, pool=op.pool()))
    assert found is not None
    assert found.verdict.reason is Reason.SOURCE_FORBIDDEN
    assert "registry-1.docker.io" in found.verdict.message


@pytest.mark.parametrize(
    ("url", "entry", "allowed"),
    [
        ("https://a.org/x", "a.org", True),
        ("http://a.org/x", "a.org", True),
        ("https://a.org:8443/x", "a.org", False),
        ("https://a.org:8443/x", "a.org:8443", True),
        ("https://b.a.org/x", "a.org", False),
        ("https://b.a.org/x", "*.a.org", True),
        ("https://a.org/x", "*.a.org", False),
        ("https://evila.org/x", "*.a.org", False),
        ("https://A.ORG/x", "a.org", True),
        ("https://user@a.org/x", "a.org", False),
        ("https://a.org@evil.org/x", "a.org", False),
        ("https://a.org:99999/x", "a.org", False),
        ("ftp://a.org/x", "a.org", False),
        ("file:///etc/passwd", "a.org", False),
    ],
)
def test_hosts_match_as_a_whole(url: str, entry: str, allowed: bool) -> None:
    assert is_allowed(url, [entry]) is allowed


def test_the_source_is_not_resolved_before_the_adapter_is_accepted() -> None:
    results = op.checked(op.seen(make.adapter("a"), make.adapter("b", suspend=True), pool=op.pool()))
    assert {key: r.is_accepted for key, r in results.items()} == {"default/a": True, "default/b": False}
    assert results["default/b"].resolution is None


def test_a_source_that_cannot_be_used_says_why() -> None:
    verdict = Verdict(Reason.SOURCE_NOT_FOUND, "no such file")
    found = op.finding(op.seen(make.adapter(), pool=op.pool(), outcome=Unresolved(verdict)))
    assert found is not None
    assert found.verdict == verdict


def test_after_a_restart_the_last_word_stands_until_the_source_was_looked_at_again() -> None:
    verdict = Verdict(Reason.NOT_A_LORA, "a whole model")
    assert op.reason(op.seen(make.adapter(), pool=op.pool(), outcome=Resolving())) is Reason.RESOLVING
    assert op.reason(op.seen(make.adapter(), pool=op.pool(), outcome=Resolving(verdict))) is Reason.NOT_A_LORA


def test_a_file_above_the_pools_limit_is_refused_with_both_sizes() -> None:
    found = op.finding(
        op.seen(
            make.adapter(), pool=op.pool(adapters={"maxFileSize": "1Mi"}), outcome=Resolution(size_bytes=3 * 1024**2)
        )
    )
    assert found is not None
    assert found.verdict.reason is Reason.FILE_TOO_LARGE
    assert "3.0 MiB" in found.verdict.message
    assert "1Mi" in found.verdict.message


def test_a_pin_that_does_not_match_the_hubs_sha256_is_told_without_a_download() -> None:
    pinned = make.adapter(sha256=PIN)
    assert op.reason(op.seen(pinned, pool=op.pool(), outcome=Resolution(sha256="b" * 64))) is Reason.CHECKSUM_MISMATCH
    assert op.reason(op.seen(pinned, pool=op.pool(), outcome=Resolution(sha256=PIN))) is None


def test_a_rank_above_the_pools_limit_is_refused() -> None:
    few = op.pool(adapters={"maxRank": 3})
    assert op.reason(op.seen(make.adapter(), pool=few, outcome=resolution(4))) is Reason.RANK_TOO_HIGH
    assert op.reason(op.seen(make.adapter(), pool=op.pool(), outcome=resolution(4))) is None


def test_until_a_pod_was_warm_the_fit_is_open() -> None:
    snapshot = op.seen(make.adapter(), pool=op.pool(), outcome=resolution(), base=None)
    assert op.reason(snapshot) is Reason.WAITING_FOR_PODS
    # Pods fetch the file while they load, so it is in their catalog already.
    assert op.checked(snapshot)["default/pixel"].entry is not None


@pytest.mark.parametrize(("shape", "fits"), [((16, 32), True), ((16, 64), False)])
def test_the_shapes_of_the_base_decide(shape: tuple[int, ...], fits: bool) -> None:
    base = BaseReport(revision="r", modules={"unet": {"mid.attn2.to_k": shape}})
    snapshot = op.seen(make.adapter(), pool=op.pool(), outcome=resolution(), base=base)
    assert op.reason(snapshot) is (None if fits else Reason.BASE_MODEL_MISMATCH)


def test_the_shapes_of_the_base_overrule_the_card() -> None:
    base = BaseReport(revision="r", modules={"unet": {"mid.attn2.to_k": (16, 32)}})
    theirs = resolution(base_models=("somebody/else",))
    hub_pool = op.pool(model={"source": {"hub": {"repo": "ours/base"}}})
    assert op.reason(op.seen(make.adapter(), pool=hub_pool, outcome=theirs, base=base)) is None


@pytest.mark.parametrize(
    ("card", "fits"), [((), True), (("ours/base",), True), (("x/y", "ours/base"), True), (("x/y",), False)]
)
def test_where_the_base_reports_no_modules_the_card_decides(card: tuple[str, ...], fits: bool) -> None:
    hub_pool = op.pool(model={"source": {"hub": {"repo": "ours/base"}}})
    snapshot = op.seen(make.adapter(), pool=hub_pool, outcome=resolution(base_models=card))
    assert op.reason(snapshot) is (None if fits else Reason.BASE_MODEL_MISMATCH)


def test_an_adapter_that_cannot_be_checked_does_not_hold_up_the_others() -> None:
    def fail(given: FitInput) -> Verdict | None:
        if given.key == "default/broken":
            raise ZeroDivisionError
        return None

    seen = op.seen(make.adapter("broken"), make.adapter("good"), pool=op.pool())
    results = op.checked(seen, AdapterDecisions(fit=fail))
    found = results["default/broken"].finding
    assert found is not None
    assert found.verdict.reason is Reason.INTERNAL_ERROR
    assert results["default/good"].entry is not None


def test_what_did_not_change_is_not_checked_again() -> None:
    decisions, one, two = AdapterDecisions(), make.adapter("one"), make.adapter("two")
    first = op.checked(op.seen(one, two, pool=op.pool()), decisions)
    suspended = make.adapter("two", suspend=True)
    second = op.checked(op.seen(one, suspended, pool=op.pool()), decisions)
    assert second["default/one"] is first["default/one"]
    assert second["default/two"].entry is None


def test_where_nothing_is_new_nothing_is_checked() -> None:
    """A pass over a thousand adapters of which none changed costs as little as that."""
    decisions, adapters = AdapterDecisions(), (make.adapter("a"), make.adapter("b"))
    first = op.checked(op.seen(*adapters, pool=op.pool()), decisions)
    with_status = op.pool().model_copy(update={"status": PoolStatus(replicas=7)})
    assert op.checked(op.seen(*adapters, pool=with_status), decisions) is first


def test_a_fit_is_compared_once_for_each_file_and_base() -> None:
    compared: list[str] = []

    def note(given: FitInput) -> Verdict | None:
        compared.append(given.key)
        return None

    decisions, found = AdapterDecisions(fit=note), resolution()
    for generation, replicas in ((1, 1), (2, 1), (3, 2)):
        pool = op.pool(replicas=replicas)
        wanted = pool.model_copy(update={"metadata": pool.metadata.model_copy(update={"generation": generation})})
        op.checked(op.seen(make.adapter(metadata={"resourceVersion": "1"}), pool=wanted, outcome=found), decisions)
    assert compared == ["default/pixel"]
    op.checked(op.seen(make.adapter(), pool=op.pool(), outcome=found, base=None), decisions)
    assert len(compared) == 2


def test_defaults_that_the_pool_does_not_allow_are_refused_with_its_limit() -> None:
    few = op.pool(serving={"defaults": {"steps": 5}, "limits": {"steps": 10}})
    assert op.reason(op.seen(make.adapter(defaults={"steps": 10}), pool=few)) is None
    found = op.finding(op.seen(make.adapter(defaults={"steps": 11}), pool=few))
    assert found is not None
    assert found.verdict.reason is Reason.INVALID_SPEC
    assert "at most 10" in found.verdict.message
