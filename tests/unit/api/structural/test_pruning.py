"""What is dropped, and what is kept."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiphys.api.codec_json import clone
from tiphys.api.structural.defaulting import apply_defaults
from tiphys.api.structural.pruning import drop_nulls, prune
from tiphys.api.structural.schema import Structural

TEXT, KEEP = {"type": "string"}, {"x-kubernetes-preserve-unknown-fields": True}
INNER = {"type": "object", "properties": {"a": TEXT}}


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


@pytest.mark.parametrize(
    ("schema", "value", "kept", "unknown"),
    [
        (_object(a=TEXT), {"a": "x", "b": 1}, {"a": "x"}, ["b"]),
        (_object(spec=INNER), {"spec": {"a": "x", "b": {"c": 1}}}, {"spec": {"a": "x"}}, ["spec.b"]),
        (_object(l={"type": "array", "items": INNER}), {"l": [{"a": "x", "b": 1}]}, {"l": [{"a": "x"}]}, ["l[0].b"]),
        ({**_object(spec=INNER), **KEEP}, {"x": {"y": 1}, "spec": {"b": 1}}, {"x": {"y": 1}, "spec": {}}, ["spec.b"]),
        ({"type": "object", "additionalProperties": INNER}, {"k": {"a": "x", "b": 1}}, {"k": {"a": "x"}}, ["k.b"]),
        ({"type": "object", "additionalProperties": True}, {"k": {"b": 1}, "s": 1}, {"k": {}, "s": 1}, ["k.b"]),
        (
            _object(t={**INNER, "x-kubernetes-embedded-resource": True}),
            {"t": {"kind": "K", "apiVersion": "v1", "metadata": {"name": "n"}, "a": "x", "z": 1}},
            {"t": {"kind": "K", "apiVersion": "v1", "metadata": {"name": "n"}, "a": "x"}},
            ["t.z"],
        ),
        (
            _object(l={"type": "array", **KEEP, "items": _object(a=INNER)}),
            {"l": [{"a": {"b": 1}, "z": 1}]},
            {"l": [{"a": {}, "z": 1}]},
            ["l[0].a.b"],
        ),
    ],
)
def test_unknown_fields_go(
    schema: dict[str, Any], value: dict[str, Any], kept: dict[str, Any], unknown: list[str]
) -> None:
    head = {"kind": "A", "apiVersion": "g/v1", "metadata": {"name": "n"}}
    whole = {**head, **value}
    assert prune(whole, Structural(schema), is_root=True) == unknown
    assert whole == {**head, **kept}


def test_nulls_that_mean_nothing_go() -> None:
    schema = Structural(_object(a=TEXT, b={**TEXT, "nullable": True}, c={**TEXT, "default": "d"}))
    value = {"a": None, "b": None, "c": None, "other": None}
    drop_nulls(value, schema)
    assert value == {"b": None, "c": None, "other": None}


def test_defaults_are_filled_in_from_outside() -> None:
    inner = _object(size={"type": "integer", "default": 3}, name=TEXT)
    schema = Structural(_object(spec={**inner, "default": {}}, items={"type": "array", "items": inner}))
    value: dict[str, Any] = {"items": [{}, {"size": 1}]}
    apply_defaults(value, schema)
    assert value == {"items": [{"size": 3}, {"size": 1}], "spec": {"size": 3}}
    value["spec"]["size"] = 9
    again: dict[str, Any] = {}
    apply_defaults(again, schema)
    assert again["spec"] == {"size": 3}, "defaults are copied, not shared"


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcd"), inner, max_size=3),
    max_leaves=12,
)
_SCHEMAS = st.recursive(
    st.sampled_from([TEXT, {"type": "integer", "default": 1}, KEEP]),
    lambda inner: (
        st.builds(lambda item: {"type": "array", "items": item}, inner)
        | st.builds(
            lambda properties, keep: {"type": "object", "properties": properties, **(KEEP if keep else {})},
            st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
            st.booleans(),
        )
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from("abc"), _SCHEMAS, max_size=3), st.dictionaries(st.sampled_from("abcd"), _JSON))
def test_once_is_enough(properties: dict[str, Any], value: dict[str, Any]) -> None:
    schema = Structural({"type": "object", "properties": properties})
    prune(value, schema, is_root=True)
    drop_nulls(value, schema)
    apply_defaults(value, schema)
    before = clone(value)
    assert prune(value, schema, is_root=True) == []
    drop_nulls(value, schema)
    apply_defaults(value, schema)
    assert value == before
