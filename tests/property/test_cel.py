"""No text makes the expression compiler or the evaluator fail otherwise than with its own errors."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tiphys.api.cel import CelError, Environment, EvaluationError, types
from tiphys.api.cel.evaluate.operators import compare, equal
from tiphys.api.cel.parse.literals import bytes_value, string_value

ENVIRONMENT = Environment({"object": types.DYN, "list": types.list_of(types.INT), "text": types.STRING})
PIECES = st.sampled_from(
    ["object", "list", "text", ".a", ".all(x, ", ".map(x, ", "x", ")", "(", "[", "]", "{", "}", ", ", " == ", " + ",
     " < ", " && ", " || ", "!", "-", " ? ", " : ", "1", "1.5", "2u", "'a'", "b'a'", "null", "true", ".?b", "[?0]",
     ".size()", "has(", "dyn(", " in ", ".startsWith(", "duration('1h')", ".matches('[')", "\\", "'", "\n", "é"]
)  # fmt: skip
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)


def run(text: str, value: Any) -> None:
    try:
        program = ENVIRONMENT.compile(text)
    except CelError:
        return
    assert program.cost.min <= program.cost.max
    with suppress(EvaluationError):
        program.evaluate({"object": value, "list": [1, 2], "text": "abc"})


@settings(max_examples=400, deadline=None)
@given(st.lists(PIECES, max_size=12).map("".join), JSON)
def test_no_pieces_of_expressions_crash(text: str, value: Any) -> None:
    run(text, value)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=40))
def test_no_text_crashes(text: str) -> None:
    run(text, {"a": 1})


@given(st.text())
def test_a_literal_is_the_text_that_was_quoted(text: str) -> None:
    escaped = "".join(f"\\U{ord(character):08x}" for character in text if not 0xD800 <= ord(character) <= 0xDFFF)
    plain = "".join(character for character in text if not 0xD800 <= ord(character) <= 0xDFFF)
    assert string_value(f'"{escaped}"') == plain
    assert ENVIRONMENT.compile(f"'{escaped}'").evaluate({}) == plain


@given(st.binary())
def test_bytes_are_read_back(data: bytes) -> None:
    assert bytes_value("b'" + "".join(f"\\x{byte:02x}" for byte in data) + "'") == data


@given(JSON, JSON)
def test_equality_is_symmetric_and_numbers_are_ordered(one: Any, other: Any) -> None:
    assert equal(one, one)
    assert equal(one, other) is equal(other, one)
    numbers = (int, float)
    if type(one) in numbers and type(other) in numbers:
        assert compare(one, other) == -compare(other, one)
