"""What a schema allows, and how refusals read."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.api.structural.correlation import Correlation
from tiphys.api.structural.formats import FORMATS
from tiphys.api.structural.lists import list_errors
from tiphys.api.structural.schema import Structural
from tiphys.api.structural.values import Check

EITHER = {"x-kubernetes-int-or-string": True}


def _told(schema: dict[str, Any], value: Any) -> list[str]:
    return [str(error) for error in Check({"type": "object", "properties": {"a": schema}}).errors({"a": value})]


@pytest.mark.parametrize(
    ("schema", "value", "told"),
    [
        ({"type": "string"}, "x", ""),
        ({"type": "integer"}, 1.0, ""),
        ({"type": "number"}, 1, ""),
        ({"type": "string", "nullable": True}, None, ""),
        (EITHER, "1", ""),
        (EITHER, 1, ""),
        (EITHER, 1.5, 'a: Invalid value: "number": a in body must be of type integer,string: "number"'),
        ({"type": "string"}, None, 'a: Invalid value: "null": a in body must be of type string: "null"'),
        ({"type": "boolean"}, "true", 'a: Invalid value: "string": a in body must be of type boolean: "string"'),
        ({"type": "string", "maxLength": 2}, "xyz", "a: Too long: may not be more than 2 bytes"),
        ({"type": "string", "minLength": 2}, "x", 'a: Invalid value: "x": a in body should be at least 2 chars long'),
        ({"type": "string", "format": "ipv4"}, "::", 'a: Invalid value: "::": a in body must be of type ipv4: "::"'),
        ({"type": "string", "format": "unheard-of"}, "x", ""),
        (
            {"type": "integer", "maximum": 3, "exclusiveMaximum": True},
            3,
            "a: Invalid value: 3: a in body should be less than 3",
        ),
        ({"type": "integer", "multipleOf": 2}, 3, "a: Invalid value: 3: a in body should be a multiple of 2"),
        ({"type": "integer", "format": "int32"}, 2**31, "Checked value must be of type integer with format int32 in a"),
        (
            {"type": "array", "items": {"type": "string"}, "maxItems": 1},
            ["x", "y"],
            "a: Too many: 2: must have at most 1 item",
        ),
        ({"type": "array", "items": {"type": "string"}}, [1], 'a[0]: Invalid value: "integer": a[0] in body must be'),
        (
            {"type": "object", "minProperties": 1},
            {},
            "a: Invalid value: 0: a in body should have at least 1 properties",
        ),
        ({"type": "object", "required": ["b"]}, {}, "a.b: Required value"),
        ({"type": "string", "enum": ["x", "y"]}, "z", 'a: Unsupported value: "z": supported values: "x", "y"'),
        ({"type": "string", "not": {"enum": ["x"]}}, "x", '"a" must not validate the schema (not)'),
        (
            {"type": "string", "anyOf": [{"enum": ["x"]}, {"maxLength": 0}]},
            "z",
            '"a" must validate at least one schema (anyOf)',
        ),
        (
            {"type": "string", "oneOf": [{"maxLength": 9}, {"minLength": 0}]},
            "z",
            '"a" must validate one and only one schema (oneOf). Found 2 valid alternatives',
        ),
        (
            {"type": "string", "allOf": [{"maxLength": 0}]},
            "z",
            '"a" must validate all the schemas (allOf). None validated',
        ),
    ],
)
def test_refusals(schema: dict[str, Any], value: Any, told: str) -> None:
    found = _told(schema, value)
    assert (told in "\n".join(found)) if told else not found, found


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("datetime", "2026-01-02T03:04:05Z", "yesterday"),
        ("date", "2026-01-02", "2026-13-01"),
        ("duration", "1h30m", "soon"),
        ("uuid", "123e4567-e89b-12d3-a456-426614174000", "123"),
        ("cidr", "10.0.0.0/8", "10.0.0.0"),
        ("ipv6", "::1", "10.0.0.1"),
        ("uri", "https://a.b/c", "no uri"),
        ("hostname", "a.example.com", "-a"),
        ("mac", "00:11:22:33:44:55", "00:11"),
        ("byte", "aGk=", "?"),
        ("email", "a@b.c", "a.b"),
        ("k8s-short-name", "a-b", "a.b"),
        ("k8s-long-name", "a.b", "a..b"),
        ("isbn", "978-0321751041", "1"),
        ("hexcolor", "#fff", "#ggg"),
    ],
)
def test_formats(name: str, good: str, bad: str) -> None:
    assert FORMATS[name](good)
    assert not FORMATS[name](bad)


def test_what_did_not_change_is_let_pass() -> None:
    schema = {
        "type": "object",
        "properties": {
            "a": {"type": "string", "maxLength": 1},
            "b": {"type": "string"},
            "l": {
                "type": "array",
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["k"],
                "items": {
                    "type": "object",
                    "properties": {"k": {"type": "string"}, "v": {"type": "integer", "maximum": 1}},
                },
            },
        },
    }
    check, structural = Check(schema), Structural(schema)
    old = {"a": "long", "l": [{"k": "x", "v": 5}, {"k": "y", "v": 1}]}

    def errors(new: dict[str, Any]) -> list[str]:
        return [error.path for error in check.errors(new, "", Correlation(new, old, structural))]

    assert errors({**old, "b": "new"}) == []
    assert errors({**old, "a": "other"}) == ["a"]
    assert errors({**old, "l": [{"k": "y", "v": 9}, {"k": "x", "v": 5}]}) == ["l[0].v"]


def test_repeated_items_are_told_once() -> None:
    schema = Structural(
        {
            "type": "object",
            "properties": {
                "s": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
                "m": {
                    "type": "array",
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["k"],
                    "items": {"type": "object"},
                },
            },
        }
    )
    value = {"s": ["a", "b", "a", "a"], "m": [{"k": 1}, {"k": True}, {"k": 1}, {}, {}]}
    assert [str(error) for error in list_errors(value, schema)] == [
        's[2]: Duplicate value: "a"',
        'm[2]: Duplicate value: {"k":1}',
        "m[4]: Duplicate value: {}",
    ]
