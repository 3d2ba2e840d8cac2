"""A request and its pictures as they are, as a pod reads them: what is none is refused."""

from collections.abc import Callable

import pytest

from lorapool_api.wire.gateways import pictures
from lorapool_api.wire.request import MAX_PICTURE_BYTES, GenerateRequest

REQUEST = GenerateRequest(prompt='a "cat"', image=pictures.reference(0), mask=pictures.reference(1))


def whole(*beside: bytes) -> bytes:
    text = REQUEST.model_dump_json(exclude_none=True).encode()
    return b"".join([pictures.head(text, [len(one) for one in beside]), *beside])


def test_a_request_comes_back_with_its_pictures() -> None:
    request, beside = pictures.split(whole(b"one", b"three"))
    assert request == REQUEST
    assert [bytes(picture) for picture in beside] == [b"one", b"three"]
    assert request.mask
    found = pictures.referred(request.mask, beside)
    assert found is not None
    assert bytes(found) == b"three"


@pytest.mark.parametrize("text", ["picture:2", "picture:99"])
def test_a_reference_to_no_picture_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="no such picture"):
        pictures.referred(text, (memoryview(b"one"), memoryview(b"two")))


@pytest.mark.parametrize("text", ["", "aGVsbG8=", "picture:", "picture:-1", "picture:1x", "picture:100", "a picture:1"])
def test_any_other_text_stands_for_itself(text: str) -> None:
    assert pictures.referred(text, (memoryview(b"one"),)) is None


@pytest.mark.parametrize(
    "change",
    [
        lambda body: body[:-1],
        lambda body: body + b"x",
        lambda body: b"\xff" + body[1:],
        lambda body: body.replace(b'"sizes":[3,5]', b'"sizes":[9,-1]').replace(
            body[:4], (int.from_bytes(body[:4], "big") + 1).to_bytes(4, "big")
        ),
        lambda body: body.replace(b'"prompt"', b'"prompx"'),
        lambda body: b"",
        lambda body: b"\0\0\0\2{}",
    ],
)
def test_what_is_no_such_request_is_refused(change: Callable[[bytes], bytes]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 -- pydantic's is one too
        pictures.split(change(whole(b"one", b"three")))


def test_pictures_are_bounded_in_number_and_in_bytes() -> None:
    with pytest.raises(ValueError, match="at most"):
        pictures.split(whole(*[b"a"] * (pictures.MAX_PICTURES + 1)))
    with pytest.raises(ValueError, match=f"more than {MAX_PICTURE_BYTES}"):
        pictures.split(whole(bytes(MAX_PICTURE_BYTES + 1)))
