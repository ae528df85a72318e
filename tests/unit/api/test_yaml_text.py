"""YAML as Go's encoder writes it."""

from __future__ import annotations

import pytest

from tiphys.api.codec_yaml import parse_yaml
from tiphys.api.yaml_text import to_yaml


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"b": 1, "a": True}, "a: true\nb: 1\n"),
        ("2026-01-02T03:04:05Z", '"2026-01-02T03:04:05Z"\n'),
        ({"a": "true", "b": "1e3", "c": "0x1f", "d": "y", "e": ""}, 'a: "true"\nb: "1e3"\nc: "0x1f"\nd: "y"\ne: ""\n'),
        ({"a": "null", "b": "~", "c": None}, 'a: "null"\nb: "~"\nc: null\n'),
        ({"a": "x\ny\n", "b": []}, "a: |\n  x\n  y\nb: []\n"),
        ({"a": "- x", "b": "a: b", "c": "plain"}, "a: '- x'\nb: 'a: b'\nc: plain\n"),
        (["x", {"a": "b"}], "- x\n- a: b\n"),
    ],
)
def test_what_is_quoted(value: object, text: str) -> None:
    made = to_yaml(value)
    assert made.removesuffix("...\n") == text
    assert parse_yaml(made.encode())[0] == value
