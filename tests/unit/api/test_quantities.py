"""Amounts as Kubernetes writes them."""

from decimal import Decimal

import pytest

from lorapool_api.kinds.quantities import human_bytes, parse_quantity, quantity_bytes


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", "1"),
        ("1500m", "1.5"),
        ("2u", "0.000002"),
        ("3n", "0.000000003"),
        ("2Gi", 2**31),
        ("1e3", "1000"),
        ("1E", 10**18),
        (".5", "0.5"),
        ("3k", "3000"),
        ("-1Ki", "-1024"),
    ],
)
def test_quantities(text: str, value: str | int) -> None:
    assert parse_quantity(text) == Decimal(value)


@pytest.mark.parametrize("text", ["", "x", "1x", "Gi", "1 Gi", "1KiB", "1e999999999", "²"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="quantity"):
        parse_quantity(text)


@pytest.mark.parametrize(
    ("text", "size"), [("0", 0), ("1500", 1500), ("2K", 2000), ("1Gi", 1024**3), ("1.5Gi", 3 * 1024**3 // 2)]
)
def test_quantities_of_bytes(text: str, size: int) -> None:
    assert quantity_bytes(text) == size


@pytest.mark.parametrize("text", ["2k", "-1", "1e3", "100m"])
def test_what_is_no_quantity_of_bytes_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=text):
        quantity_bytes(text)


def test_sizes_for_people() -> None:
    assert [human_bytes(n) for n in (7, 2048, 3 * 1024**2, 5 * 1024**3)] == ["7 bytes", "2.0 KiB", "3.0 MiB", "5.0 GiB"]
