from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.kube.quantity import format_quantity, parse_quantity


@pytest.mark.parametrize(
    ("text", "value", "canonical"),
    [
        ("0", "0", "0"),
        ("500m", "0.5", "500m"),
        ("0.5", "0.5", "500m"),
        ("1000m", "1", "1"),
        (".5", "0.5", "500m"),
        ("1.", "1", "1"),
        ("100000", "100000", "100k"),
        ("1024", "1024", "1024"),
        ("1Ki", "1024", "1Ki"),
        ("1024Ki", "1048576", "1Mi"),
        ("1.5Gi", "1610612736", "1536Mi"),
        ("0.1Ki", "102.4", "102400m"),
        ("1e3", "1000", "1e3"),
        ("1E3", "1000", "1e3"),
        ("12e6", "12000000", "12e6"),
        ("1E", "1000000000000000000", "1E"),
        ("+5", "5", "5"),
        ("-5", "-5", "-5"),
        ("0.0000000001", "0.000000001", "1n"),
        ("2500u", "0.0025", "2500u"),
        ("1e+51", "9223372036854775807", "9223372036854775807"),
        ("1e999999999", "9223372036854775807", "9223372036854775807"),
        ("1e-999999999", "0.000000001", "1e-9"),
    ],
)
def test_quantity(text: str, value: str, canonical: str) -> None:
    assert parse_quantity(text) == Decimal(value)
    assert format_quantity(text) == canonical


def test_numbers_are_quantities() -> None:
    assert format_quantity(2) == "2"
    assert format_quantity(0.5) == "500m"


@pytest.mark.parametrize("text", ["", "x", "1x", "1 Gi", "1Gii", "--1", "1e", "1.2.3", "Gi", "1" * 101])
def test_bad_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="quantities must match"):
        parse_quantity(text)


@given(
    st.integers(0, 10**9),
    st.sampled_from(["", "m", "u", "n", "k", "M", "G", "Ki", "Mi", "Gi", "e3", "e-3"]),
)
def test_canonical_form_keeps_the_value_and_is_stable(number: int, suffix: str) -> None:
    text = f"{number}{suffix}"
    canonical = format_quantity(text)
    assert parse_quantity(canonical) == parse_quantity(text)
    assert format_quantity(canonical) == canonical
