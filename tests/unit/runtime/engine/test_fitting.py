"""What fits a device, tried once: the usual size, the limit, and what lies between."""

import pytest
import torch

from lorapool_runtime.engine.diffusers.device.fitting import Fit, budget_bytes, find, square

GIB = 1024**3


class Card:
    """Has room for so many bytes; a pixel takes 10 of them, and 3 in tiles."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.tried: list[tuple[int, bool]] = []
        self.freed = 0

    def make(self, pixels: int, tiled: bool) -> int:
        self.tried.append((pixels, tiled))
        size = pixels * (3 if tiled else 10)
        if size > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return size

    def free(self) -> None:
        self.freed += 1

    def find(self, usual: int, limit: int) -> Fit:
        return find(self.make, usual, limit, self.free)


def test_what_fits_as_a_whole_is_never_made_of_tiles() -> None:
    card = Card(room=30_000)
    assert card.find(1000, 3000) == Fit(3000, 3000, 30_000)
    assert card.tried == [(1000, False), (3000, False)]


def test_the_limit_is_made_of_tiles_where_only_they_fit() -> None:
    assert Card(room=15_000).find(1000, 3000) == Fit(3000, 1000, 10_000)


def test_what_does_not_fit_is_told_with_how_much_does() -> None:
    card = Card(room=10_000)
    found = card.find(1000, 9000)
    assert found.whole_pixels == 1000
    assert 3000 <= found.pixels <= 3333
    assert card.freed == sum(pixels * (3 if tiled else 10) > 10_000 for pixels, tiled in card.tried)


def test_a_device_that_has_no_room_for_the_usual_size_says_what_it_has_room_for() -> None:
    found = Card(room=2000).find(1000, 3000)
    assert found.whole_pixels == 0
    assert 0 < found.pixels <= 666


def test_another_error_than_a_full_device_is_not_taken_for_one() -> None:
    def broken(pixels: int, tiled: bool) -> int:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="mat1"):
        find(broken, 1, 2, lambda: None)


def test_the_budget_is_what_base_and_request_leave_with_something_to_spare() -> None:
    assert budget_bytes(16 * GIB, 24 * GIB, 4 * GIB) == int(11.25 * GIB)
    assert budget_bytes(1 * GIB, 24 * GIB, 4 * GIB) == 0


def test_a_size_is_one_that_pictures_can_have() -> None:
    assert square(2_359_296) == (1536, 1536)
    assert square(1000) == (24, 24)
