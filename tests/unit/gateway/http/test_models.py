"""The models that there are, as OpenAI lists them."""

from tests import make
from tests.unit.gateway.fakes import SHA, read, ready, snapshot, with_ready

from lorapool_api.kinds.adapter import Adapter
from lorapool_gateway.http.models import find_model, served_models
from lorapool_gateway.http.sdapi.menus import menu


def test_models_are_listed_by_the_shortest_name_that_is_unambiguous() -> None:
    other = make.pool("other", "team")
    adapters = (ready("pixel"), with_ready(make.adapter("pixel", "team", poolRef={"name": "other"})), ready("ink"))
    rows = served_models(snapshot((make.pool(), other), adapters))
    assert [row["id"] for row in rows] == ["other", "shapes", "ink", "pixel", "team/pixel"]


def test_an_adapter_that_is_not_ready_is_not_listed_but_found() -> None:
    known = snapshot(adapters=(make.adapter("new"),))
    assert [row["id"] for row in served_models(known)] == ["shapes"]
    assert find_model("new", known)["ready"] is False


def test_a_menu_has_the_picture_that_a_card_shows_where_there_is_one() -> None:
    address = "https://hub.example/a/b/resolve/c0/images/a.png"
    pixel = ready("pixel")
    shown = {"resolved": {"sha256": SHA, "thumbnail": address}}
    pixel = Adapter.model_validate(read(pixel) | {"status": read(pixel)["status"] | shown})
    known = snapshot(adapters=(pixel, ready("ink")))
    assert [row.get("thumbnail") for row in served_models(known)] == [None, None, address]
    assert [row["metadata"].get("thumbnail") for row in menu("loras", known, None)] == [None, address]
