"""Merge patch: the examples of RFC 7386, appendix A, that apply to objects, and upstream's additions."""

from typing import Any

import pytest

from tiphys.api import mergepatch
from tiphys.api.errors import BadRequest


@pytest.mark.parametrize(
    ("document", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
        ({}, {"a": [{"b": None}]}, {"a": [{}]}),
    ],
)
def test_examples(document: Any, patch: Any, result: Any) -> None:
    before = repr(document), repr(patch)
    assert mergepatch.apply(document, patch) == result
    assert (repr(document), repr(patch)) == before


def test_a_patch_is_an_object() -> None:
    with pytest.raises(BadRequest, match="Invalid JSON Patch"):
        mergepatch.apply({}, [])
