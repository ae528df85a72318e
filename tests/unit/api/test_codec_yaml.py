"""YAML as Kubernetes reads it."""

import pytest

from tiphys.api.codec_yaml import parse_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", True),
        ("off", False),
        ("'yes'", "yes"),
        ("!!str yes", "yes"),
        ("~", None),
        ("2001-01-01", "2001-01-01"),
        ("12:30:45", "12:30:45"),
        ("1e3", 1000),
        ("1.5", 1.5),
        ("0777", 511),
        ("0x10", 16),
        ("1_000", 1000),
        ("08", 8),
        ("+12", 12),
        ("1.2.3", "1.2.3"),
        ("- a\n- {b: c}", ["a", {"b": "c"}]),
        ("{1: a, true: b}", {"1": "a", "true": "b"}),
        ("a: &x {b: 1}\nc: {<<: *x, d: 2}", {"a": {"b": 1}, "c": {"b": 1, "d": 2}}),
        ("", None),
        ("a: 1\n---\nb: 2", {"a": 1}),
    ],
)
def test_scalars_and_structures(text: str, value: object) -> None:
    assert parse_yaml(text.encode())[0] == value


def test_repeated_keys_are_named_with_their_lines() -> None:
    value, messages = parse_yaml(b"a: 1\nb: 2\na: 3\n")
    assert value == {"a": 3, "b": 2}
    assert messages == ['yaml: unmarshal errors:\n  line 3: key "a" already set in map']


def test_alias_bombs_are_refused_quickly() -> None:
    lines = ["a0: &a0 [x,x,x,x,x,x,x,x,x]"]
    lines += [f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
    with pytest.raises(ValueError, match="excessive aliasing"):
        parse_yaml("\n".join(lines).encode())


@pytest.mark.parametrize("text", ["[" * 5000, "- " * 5000, "a: [", "a: b: c", "*x", "? [a]\n: b", "a: &x [*x]", "\x00"])
def test_broken_or_abusive_documents_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"yaml|YAML"):
        parse_yaml(text.encode())
