"""The headers of an answer: one contract, from a pod and from the gateway."""

import json

from lorapool_api.wire.headers import MAX_ADAPTERS_BYTES, reply_headers, stages_of
from lorapool_api.wire.reply import GenerateReply, MadeImage, Timings, UsedAdapter
from lorapool_api.wire.request import ImageFormat


def reply(adapters: int = 1, name: str = "pixel", seeds: tuple[int, ...] = (5, 6)) -> GenerateReply:
    return GenerateReply(
        images=tuple(MadeImage(data="", seed=seed) for seed in seeds),
        format=ImageFormat.PNG,
        width=8,
        height=8,
        base="shapes",
        base_revision="r1",
        adapters=tuple(UsedAdapter(key=f"default/{name}{i}", sha256="ab" * 32, scale=1.0) for i in range(adapters)),
        pod="pod-a",
        timings=Timings(inference_s=1.5),
    )


def headers(made: GenerateReply) -> dict[str, str]:
    return reply_headers(made, stages_of(made.timings))


def test_all_seeds_and_all_stages_are_said() -> None:
    found = headers(reply())
    assert found["x-lorapool-seed"] == "5,6"
    assert found["server-timing"].split(", ")[4] == "inference;dur=1500.000"
    assert json.loads(found["x-lorapool-adapters"]) == [{"key": "default/pixel0", "sha256": "ab" * 32, "scale": 1.0}]


def test_usual_stacks_are_told_whole() -> None:
    told = json.loads(headers(reply(8, "nerijs-pixel-art-xl"))["x-lorapool-adapters"])
    assert {row["sha256"] for row in told} == {"ab" * 32}


def test_long_names_cost_the_end_of_each_sha256_and_then_what_does_not_fit() -> None:
    short = headers(reply(8, "x" * 100))["x-lorapool-adapters"]
    assert [row["sha256"] for row in json.loads(short)] == ["abababababab"] * 8
    cut = headers(reply(8, "x" * 300))["x-lorapool-adapters"]
    assert json.loads(cut)[-1] == {"more": 4}
    assert len(short) <= MAX_ADAPTERS_BYTES >= len(cut)


def test_so_many_seeds_as_fit_are_told_whole() -> None:
    assert headers(reply(seeds=(2**62,) * 64))["x-lorapool-seed"].split(",") == [str(2**62)] * 20
