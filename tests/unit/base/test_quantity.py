"""Resource amounts, against upstream's table and by their own laws."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiphys.base import quantity


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("0", "0"),
        ("0Mi", "0"),
        ("0.5", "500m"),
        ("500m", "500m"),
        ("1000m", "1"),
        (".5", "500m"),
        ("100.035k", "100035"),
        ("1024Mi", "1Gi"),
        ("1536Mi", "1536Mi"),
        ("1.5Gi", "1536Mi"),
        ("0.5Ki", "512"),
        ("0.001Ki", "1024m"),
        ("1e3", "1e3"),
        ("12e5", "1200e3"),
        ("1E", "1E"),
        ("-1.5", "-1500m"),
        ("+1", "1"),
        ("0.1n", "1n"),
        ("9999999999E", "9223372036854775807"),
        ("10000k", "10M"),
    ],
)
def test_canonical(text: str, canonical: str) -> None:
    assert quantity.canonical(text) == canonical


@pytest.mark.parametrize("text", ["", "1.1.M", "1+1.0M", "aoeu", "Mi", "1 Gi", "1Gi\n", "\u0661"])
def test_what_is_no_quantity(text: str) -> None:
    with pytest.raises(ValueError, match=r"^quantities must match the regular expression"):
        quantity.canonical(text)


@pytest.mark.parametrize("text", ["0.1mi", ".5i", "1i", "-3.01e-", "1ki", "1kM"])
def test_suffixes_that_do_not_exist(text: str) -> None:
    with pytest.raises(ValueError, match=r"^unable to parse quantity's suffix$"):
        quantity.canonical(text)


def test_rounding_is_away_from_zero() -> None:
    assert [quantity.value(text) for text in ("1m", "-1m", "1Ki", "1500m")] == [1, -1, 1024, 2]
    assert [quantity.milli(text) for text in ("1u", "250m", "2")] == [1, 250, 2000]


texts = st.builds(
    lambda sign, whole, part, suffix: f"{sign}{whole}{part}{suffix}",
    st.sampled_from(["", "-", "+"]),
    st.integers(0, 10**6),
    st.sampled_from(["", ".", ".5", ".125", ".001", ".000000001"]),
    st.sampled_from(["", "n", "u", "m", "k", "M", "G", "Ki", "Mi", "Gi", "e3", "E-3", "e0"]),
)


@given(texts)
def test_canonical_form_is_stable_and_means_the_same(text: str) -> None:
    canonical = quantity.canonical(text)
    assert quantity.canonical(canonical) == canonical
    assert quantity.parse(canonical) == quantity.parse(text)


@given(st.integers(-(10**12), 10**12), st.booleans())
def test_numbers_come_back(number: int, binary: bool) -> None:
    assert quantity.value(quantity.from_value(number, binary)) == number
    assert quantity.milli(quantity.from_milli(number)) == number
    assert quantity.parse(quantity.from_milli(number)) == Fraction(number, 1000)
