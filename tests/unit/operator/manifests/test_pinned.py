"""What pods read of a base has commits where the pool has branches, so that all of them hold the same."""

from tests import make

from lorapool_operator.manifests.pinned import hub_sources, pinned


def test_controls_are_pinned_as_the_base_is() -> None:
    source = {"hub": {"repo": "them/base", "revision": "main"}}
    edges = {"name": "edges", "source": {"hub": {"repo": "them/edges", "revision": "v2"}}}
    mounted = {"name": "depth", "source": {"path": "/models/depth"}}
    pool = make.pool(model={"source": source, "controls": [edges, mounted]})
    assert [hub.repo for hub in hub_sources(pool.spec.model)] == ["them/base", "them/edges"]
    base, control = "a" * 40, "b" * 40
    seen = pinned(pool, {("them/base", "main"): base, ("them/edges", "v2"): control}).spec.model
    assert [hub.revision for hub in hub_sources(seen)] == [base, control]
    assert seen.controls[1].source.path == "/models/depth"


def test_the_encoder_of_an_image_prompt_is_pinned_too() -> None:
    encoder = {"source": {"hub": {"repo": "them/clip", "revision": "main"}}}
    style = {
        "name": "style",
        "kind": "IPAdapter",
        "file": "ip.safetensors",
        "source": {"path": "/models/ip"},
        "imageEncoder": encoder,
    }
    pool = make.pool(model={"source": {"path": "/models/base"}, "controls": [style]})
    assert [hub.repo for hub in hub_sources(pool.spec.model)] == ["them/clip"]
    (hub,) = hub_sources(pinned(pool, {("them/clip", "main"): "c" * 40}).spec.model)
    assert hub.revision == "c" * 40


def test_a_checkpoint_in_one_file_is_pinned_and_stays_that_file() -> None:
    source = {"hub": {"repo": "them/dream", "revision": "main"}}
    config = {"hub": {"repo": "them/config", "revision": "main"}}
    pool = make.pool(model={"source": source, "file": "dream.safetensors", "config": config})
    seen = pinned(pool, {("them/dream", "main"): "a" * 40, ("them/config", "main"): "b" * 40}).spec.model
    assert [hub.revision for hub in hub_sources(seen)] == ["a" * 40, "b" * 40]
    assert seen.file == "dream.safetensors"
