"""JSON patch."""

from typing import Any

import pytest

from tiphys.api import jsonpatch
from tiphys.api.errors import BadRequest, Invalid, RequestTooLarge

_DOCUMENT = {"a": [1, 2, 3], "b": {"c~/d": "x"}}


@pytest.mark.parametrize(
    ("operation", "result"),
    [
        ({"op": "add", "path": "/a/1", "value": 9}, {"a": [1, 9, 2, 3], "b": {"c~/d": "x"}}),
        ({"op": "add", "path": "/a/-", "value": 9}, {"a": [1, 2, 3, 9], "b": {"c~/d": "x"}}),
        ({"op": "add", "path": "/n", "value": None}, {"a": [1, 2, 3], "b": {"c~/d": "x"}, "n": None}),
        ({"op": "remove", "path": "/a/-1"}, {"a": [1, 2], "b": {"c~/d": "x"}}),
        ({"op": "remove", "path": "/b/c~0~1d"}, {"a": [1, 2, 3], "b": {}}),
        ({"op": "replace", "path": "/a", "value": 1}, {"a": 1, "b": {"c~/d": "x"}}),
        ({"op": "move", "from": "/a/0", "path": "/b/e"}, {"a": [2, 3], "b": {"c~/d": "x", "e": 1}}),
        ({"op": "copy", "from": "/a", "path": "/b/e"}, {"a": [1, 2, 3], "b": {"c~/d": "x", "e": [1, 2, 3]}}),
        ({"op": "test", "path": "/b", "value": {"c~/d": "x"}}, _DOCUMENT),
        ({"op": "test", "path": "/none", "value": None}, _DOCUMENT),
        ({"op": "replace", "path": "", "value": {"z": 1}}, {"z": 1}),
    ],
)
def test_operations(operation: dict[str, Any], result: object) -> None:
    assert jsonpatch.apply(_DOCUMENT, [operation]) == result
    assert _DOCUMENT == {"a": [1, 2, 3], "b": {"c~/d": "x"}}


@pytest.mark.parametrize(
    ("operation", "why"),
    [
        ({"op": "remove", "path": "/z"}, "Unable to remove nonexistent key: z: missing value"),
        ({"op": "remove", "path": "/a/7"}, "Unable to access invalid index: 7"),
        ({"op": "test", "path": "/a/0", "value": True}, "testing value /a/0 failed: test failed"),
        ({"op": "add", "path": "/x/y", "value": 1}, 'doc is missing path: "/x/y"'),
        ({"op": "add", "path": "no", "value": 1}, 'doc is missing path: "no"'),
        ({"op": "add", "value": 1}, "add operation failed to decode path: missing value"),
        ({"op": "jump", "path": "/a"}, "Unexpected kind: jump"),
    ],
)
def test_what_does_not_apply_is_invalid_with_the_reason_chained(operation: dict[str, Any], why: str) -> None:
    with pytest.raises(Invalid, match="the server rejected our request due to an error in our request") as error:
        jsonpatch.apply(_DOCUMENT, [operation])
    assert why in str(error.value.__cause__)


def test_malformed_patches() -> None:
    with pytest.raises(BadRequest, match=r"cannot unmarshal object into Go value of type \[\]handlers.jsonPatchOp"):
        jsonpatch.apply({}, {})
    with pytest.raises(BadRequest, match=r"Go struct field jsonPatchOp\.path of type string"):
        jsonpatch.apply({}, [{"op": "add", "path": 1}])
    with pytest.raises(RequestTooLarge, match="maximum operations in a JSON patch is 10000, got 10001"):
        jsonpatch.apply({}, [{"op": "test", "path": ""}] * 10_001)


def test_copies_cannot_blow_up() -> None:
    document: dict[str, Any] = {"a": ["x" * 1000], "b": []}
    doubling = [{"op": "copy", "from": "/a", "path": "/a/-"}] * 40
    with pytest.raises(Invalid) as error:
        jsonpatch.apply(document, doubling)
    assert "exceeding the limit" in str(error.value.__cause__)
