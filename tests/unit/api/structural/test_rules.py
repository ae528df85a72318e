"""Expressions in schemas: evaluated on objects, and checked when they are written."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.api.structural.checks import structural_errors
from tiphys.api.structural.correlation import Correlation
from tiphys.api.structural.paths import BadPath, schema_at
from tiphys.api.structural.rulechecks import RuleChecks
from tiphys.api.structural.rules import RuleTree
from tiphys.api.structural.schema import Structural

INT = {"type": "integer"}


def _schema(*rules: dict[str, Any], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties or {"a": INT, "b": INT}, "x-kubernetes-validations": list(rules)}


def _told(schema: dict[str, Any], value: Any, before: Any = None) -> list[str]:
    structural = Structural(schema)
    tree = RuleTree.of(structural)
    assert tree is not None
    correlation = None if before is None else Correlation(value, before, structural)
    return [str(error) for error in tree.errors(value, before, correlation)]


@pytest.mark.parametrize(
    ("rule", "value", "before", "told"),
    [
        ({"rule": "self.a < self.b"}, {"a": 1, "b": 2}, None, []),
        ({"rule": "self.a < self.b"}, {"a": 2, "b": 1}, None, ["<nil>: Invalid value: failed rule: self.a < self.b"]),
        (
            {"rule": "self.a < 1", "message": "too much", "fieldPath": ".a"},
            {"a": 1},
            None,
            ["a: Invalid value: too much"],
        ),
        (
            {"rule": "self.a < 1", "reason": "FieldValueForbidden", "message": "no"},
            {"a": 1},
            None,
            ["<nil>: Forbidden: no"],
        ),
        ({"rule": "self.a < 1", "messageExpression": "'got one'"}, {"a": 1}, None, ["<nil>: Invalid value: got one"]),
        ({"rule": "self.a >= oldSelf.a"}, {"a": 1}, None, []),
        (
            {"rule": "self.a >= oldSelf.a"},
            {"a": 1},
            {"a": 2},
            ["<nil>: Invalid value: failed rule: self.a >= oldSelf.a"],
        ),
        (
            {"rule": "oldSelf.hasValue()", "optionalOldSelf": True, "message": "new"},
            {"a": 1},
            None,
            ["<nil>: Invalid value: new"],
        ),
        ({"rule": "self.a < 1"}, {"a": 1}, {"a": 1}, []),
        (
            {"rule": "self.b == 1"},
            {"a": 1},
            None,
            ['<nil>: Invalid value: "object": no such key: b evaluating rule: self.b == 1'],
        ),
    ],
)
def test_rules(rule: dict[str, Any], value: Any, before: Any, told: list[str]) -> None:
    assert _told(_schema(rule), value, before) == told


def test_rules_below_lists_and_maps_name_their_place() -> None:
    item = {"type": "integer", "x-kubernetes-validations": [{"rule": "self > 0", "message": "positive"}]}
    schema = {
        "type": "object",
        "properties": {"l": {"type": "array", "items": item}, "m": {"type": "object", "additionalProperties": item}},
    }
    assert _told(schema, {"l": [1, -1], "m": {"k": -1}}) == [
        "l[1]: Invalid value: -1: positive",
        "m[k]: Invalid value: -1: positive",
    ]


@pytest.mark.parametrize(
    ("schema", "told"),
    [
        (_schema({"rule": "self.a < self.b"}), ""),
        (_schema({"rule": "self.nope"}), "undefined field 'nope'"),
        (_schema({"rule": "self.a"}), "cel expression must evaluate to a bool"),
        (_schema({"rule": "true", "messageExpression": "1"}), "messageExpression must evaluate to a string"),
        (_schema({"rule": "true", "optionalOldSelf": True}), "may not be set if oldSelf is not used in rule"),
        (
            _schema(
                {"rule": "true"},
                l={"type": "array", "items": {**INT, "x-kubernetes-validations": [{"rule": "self == oldSelf"}]}},
            ),
            "oldSelf cannot be used on the uncorrelatable portion of the schema within s.properties[l]",
        ),
        (
            _schema({"rule": "self.l.all(x, self.l.all(y, x == y))"}, l={"type": "array", "items": {"type": "string"}}),
            "estimated rule cost exceeds budget by factor of more than 100x",
        ),
    ],
)
def test_rules_are_checked_when_they_are_written(schema: dict[str, Any], told: str) -> None:
    found = "\n".join(map(str, RuleChecks(schema, "s").errors()))
    assert told in found if told else not found, found


@pytest.mark.parametrize(
    ("schema", "told"),
    [
        ({"type": "object", "properties": {"a": INT}}, ""),
        ({"properties": {"a": INT}}, "s.type: Required value: must not be empty at the root"),
        (
            {"type": "object", "additionalProperties": INT},
            "s.additionalProperties: Forbidden: must not be used at the root",
        ),
        (
            {"type": "object", "properties": {"a": {"type": "string", "anyOf": [{"type": "string"}]}}},
            "s.properties[a].anyOf[0].type: Forbidden: must be empty to be structural",
        ),
        (
            {
                "type": "object",
                "properties": {
                    "a": {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]}
                },
            },
            "",
        ),
        (
            {"type": "object", "anyOf": [{"properties": {"b": {"minimum": 1}}}]},
            "s.properties[b]: Required value: because it is defined in s.anyOf[0].properties[b]",
        ),
        (
            {
                "type": "object",
                "properties": {"metadata": {"type": "object", "properties": {"labels": {"type": "object"}}}},
            },
            "must not specify anything other than name and generateName",
        ),
        (
            {"type": "object", "properties": {"a": {"x-kubernetes-embedded-resource": True, "type": "object"}}},
            "s.properties[a].properties: Required value: must not be empty if x-kubernetes-embedded-resource is true",
        ),
    ],
)
def test_structure(schema: dict[str, Any], told: str) -> None:
    found = "\n".join(map(str, structural_errors(schema, "s")))
    assert told in found if told else not found, found


def test_paths_into_a_schema() -> None:
    schema = Structural(
        {"type": "object", "properties": {"a": {"type": "object", "additionalProperties": INT}, "b": INT}}
    )
    assert schema_at(schema, ".a['x.y/z']")[0] == "a[x.y/z]"
    assert schema_at(schema, ".b")[0] == "b"
    for path, why in ((".c", "does not refer to a valid field"), ("b", "expected [ or ."), (".", "unexpected end")):
        with pytest.raises(BadPath, match=why.replace("[", r"\[")):
            schema_at(schema, path)
    with pytest.raises(BadPath, match="array notation is not allowed"):
        schema_at(schema, ".a['x']", brackets=False)
