"""Whose a picture is: ours, another's, changed, stripped, or one that only says so."""

import struct
import zlib
from io import BytesIO
from pathlib import Path

import c2pa
import pytest
from PIL import Image
from tests.unit.gateway.fakes import encoded_image
from tests.unit.gateway.provenance import certificates
from tests.unit.gateway.provenance.installation import SHA, Installation

from lorapool_api.wire.reply import UsedAdapter
from lorapool_api.wire.request import ImageFormat
from lorapool_api.wire.weighting.scale import Weighting
from lorapool_gateway.errors import BadRequest
from lorapool_gateway.provenance.reader import PictureReader

PICTURE = encoded_image(3, ImageFormat.PNG)
FORMATS = (ImageFormat.PNG, ImageFormat.JPEG, ImageFormat.WEBP, ImageFormat.TIFF)


def manifest(png: bytes) -> bytes:
    """What the chunk holds that manifests lie in."""
    at = png.index(b"caBX")
    return png[at + 4 : at + 4 + int.from_bytes(png[at - 4 : at], "big")]


def with_manifest(png: bytes, content: bytes) -> bytes:
    """A picture that holds that, where its signer puts it."""
    chunk = b"caBX" + content
    at = png.index(b"IHDR") + 21
    return png[:at] + struct.pack(">I", len(content)) + chunk + struct.pack(">I", zlib.crc32(chunk)) + png[at:]


@pytest.mark.parametrize("format_", FORMATS)
async def test_a_signed_picture_is_ours_and_tells_what_it_was_made_with(
    ours: Installation, format_: ImageFormat
) -> None:
    before = encoded_image(3, format_)
    signed = await ours.signed(before, format_)
    report = await ours.report(signed)
    assert (report.signed, report.valid, report.ours, report.reasons) == (True, True, True, ())
    assert report.signer is not None
    assert (report.signer.common_name, report.signer.organization) == ("lorapool of a test", "a studio")
    assert report.made_with is not None
    made = report.made_with.model_dump(exclude_none=True)
    assert made == {
        "pool": "default/shapes",
        "base": {"name": "o/base", "revision": "r1"},
        "adapters": (
            {"name": "default/ink", "sha256": SHA, "scale": 0.5},
            {"name": "o/px", "sha256": SHA, "scale": 1.0},
        ),
        "seed": 2**63 - 1,
        "software": "lorapool 1.2",
    }
    assert Image.open(BytesIO(signed)).tobytes() == Image.open(BytesIO(before)).tobytes()


async def test_a_scale_that_no_number_says_is_said_for_people(ours: Installation) -> None:
    scale = Weighting(steps=((0.0, 1.0), (0.5, 0.3)), text_encoder=0.5)
    used = UsedAdapter(key="default/ink", sha256=SHA, scale=scale)
    report = await ours.report(await ours.signed(PICTURE, adapters=(used,)))
    assert report.made_with is not None
    assert [adapter.scale for adapter in report.made_with.adapters] == ["0->1,0.5->0.3 te=0.5"]


async def test_the_prompt_is_there_where_it_was_signed(ours: Installation) -> None:
    report = await ours.report(await ours.signed(PICTURE, prompt="a cat", negative_prompt="a dog"))
    assert report.made_with is not None
    assert (report.made_with.prompt, report.made_with.negative_prompt) == ("a cat", "a dog")


async def test_one_bit_less_of_the_picture_is_another_picture(ours: Installation) -> None:
    signed = bytearray(await ours.signed(PICTURE))
    signed[signed.rindex(b"IDAT") + 8] ^= 1
    report = await ours.report(bytes(signed))
    assert (report.signed, report.valid, report.ours, report.made_with) == (True, False, False, None)
    assert "assertion.dataHash.mismatch" in report.codes


async def test_a_changed_claim_is_none_that_was_signed(ours: Installation) -> None:
    signed = await ours.signed(PICTURE)
    report = await ours.report(with_manifest(PICTURE, manifest(signed).replace(b"default/ink", b"default/inc")))
    assert (report.signed, report.valid, report.ours, report.made_with) == (True, False, False, None)


async def test_a_manifest_on_another_picture_is_not_its_own(ours: Installation) -> None:
    moved = with_manifest(encoded_image(4, ImageFormat.PNG), manifest(await ours.signed(PICTURE)))
    report = await ours.report(moved)
    assert (report.signed, report.valid, report.ours, report.made_with) == (True, False, False, None)


async def test_a_picture_without_its_manifest_is_nobodys(ours: Installation) -> None:
    buffer = BytesIO()
    Image.open(BytesIO(await ours.signed(PICTURE))).save(buffer, "png")
    report = await ours.report(buffer.getvalue())
    assert (report.signed, report.valid, report.ours, report.made_with) == (False, False, False, None)
    assert "was taken out" in report.reasons[0]


async def test_what_another_signed_is_not_ours_whatever_it_says(
    ours: Installation, root: certificates.Pair, tmp_path: Path
) -> None:
    """The same names, the same authority, the same words: another key."""
    with Installation.of(tmp_path / "theirs", certificates.issued(root), root) as theirs:
        report = await ours.report(await theirs.signed(PICTURE))
        assert (report.signed, report.valid, report.ours, report.made_with) == (True, True, False, None)
        assert report.signer is not None
        assert report.signer.common_name == "lorapool of a test"
        assert "none of this installation's" in report.reasons[0]


async def test_ours_edited_by_another_is_the_others(
    ours: Installation, root: certificates.Pair, tmp_path: Path
) -> None:
    """Its store holds our manifest as well, as what theirs was made of."""
    with Installation.of(tmp_path / "theirs", certificates.issued(root), root) as theirs:
        key, target = theirs.keys.current(), BytesIO()
        info = c2pa.C2paSignerInfo(b"es256", key.chain, key.key, None)
        edited = '{"claim_generator_info": [{"name": "lorapool"}]}'
        with c2pa.Signer.from_info(info) as signer, c2pa.Builder(edited) as builder:
            builder.set_intent(c2pa.C2paBuilderIntent.EDIT)
            builder.sign(signer, "image/png", BytesIO(await ours.signed(PICTURE)), target)
        report = await ours.report(target.getvalue())
        assert target.getvalue().count(b"dev.lorapool.recipe") > 0
        assert (report.signed, report.ours, report.made_with) == (True, False, None)


async def test_pictures_of_the_key_before_are_ours_where_its_certificate_is_kept(
    ours: Installation, root: certificates.Pair, tmp_path: Path
) -> None:
    before, after = certificates.issued(root), certificates.issued(root)
    with Installation.of(tmp_path / "before", before, root) as old:
        signed = await old.signed(PICTURE)
    with Installation.of(tmp_path / "after", after, root, certificates.issued(root), before) as new:
        assert (await new.report(signed)).ours
        assert not (await ours.report(signed)).ours


async def test_an_installation_without_a_key_says_so(ours: Installation) -> None:
    reader, signed = PictureReader(), await ours.signed(PICTURE)

    async def whole() -> bytes:
        return signed

    try:
        report = await reader.report(whole)
    finally:
        reader.close()
    assert (report.valid, report.ours) == (True, False)
    assert "signs no pictures" in report.reasons[0]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"x",
        b"\x89PNG\r\n\x1a\n",
        PICTURE[:40],
        b"GIF89a" + bytes(64),
        b"RIFF\xff\xff\xff\xffWEBPVP8 ",
        bytes(1 << 16),
    ],
    ids=["nothing", "a letter", "a beginning", "a half", "a gif", "a long riff", "zeros"],
)
async def test_what_is_no_picture_is_refused(ours: Installation, body: bytes) -> None:
    with pytest.raises(BadRequest):
        await ours.report(body)


@pytest.mark.parametrize("broken", [b"", b"x", bytes(400), b"\xff" * 400, b"\0\0\0\1jumb" * 50])
async def test_a_broken_manifest_is_no_ones(ours: Installation, broken: bytes) -> None:
    whole = manifest(await ours.signed(PICTURE))
    for left in (broken, broken + whole[len(broken) + 1 :], whole[: len(whole) // 2] + broken):
        report = await ours.report(with_manifest(PICTURE, left))
        assert (report.valid, report.ours, report.made_with) == (False, False, None)
        assert report.reasons


async def test_no_byte_of_a_manifest_can_be_changed_so_that_it_says_something_else(ours: Installation) -> None:
    """Some bytes say nothing: lengths that nobody reads, room that was left beside the signature."""
    signed = await ours.signed(PICTURE)
    whole, said = manifest(signed), (await ours.report(signed)).made_with
    kept = 0
    for at in range(0, len(whole), 41):
        changed = bytearray(whole)
        changed[at] ^= 0x55
        report = await ours.report(with_manifest(PICTURE, bytes(changed)))
        kept += report.ours
        assert report.made_with == (said if report.ours else None), at
    assert kept < len(whole) // 41 // 2
