"""Strategic merge patch on pods: keys, directives, order."""

from typing import Any

import pytest

from tiphys.api import strategic
from tiphys.api.errors import BadRequest, Malformed
from tiphys.api.kinds.core.pod.schema import Pod

_POD: dict[str, Any] = {
    "metadata": {"finalizers": ["x", "y"], "labels": {"a": "1"}},
    "spec": {
        "containers": [{"name": "a", "image": "1", "args": ["p"]}, {"name": "b", "image": "2"}],
        "volumes": [{"name": "v", "emptyDir": {}}],
        "tolerations": [{"key": "k"}],
    },
}


def _patched(patch: Any) -> dict[str, Any]:
    before = repr(_POD)
    result = strategic.apply(Pod, _POD, patch)
    assert repr(_POD) == before
    return result


def _containers(patch: Any) -> Any:
    return _patched({"spec": patch})["spec"]["containers"]


def test_items_merge_by_key_and_new_ones_are_added() -> None:
    assert _containers({"containers": [{"name": "b", "image": "3"}, {"name": "c"}]}) == [
        {"name": "a", "image": "1", "args": ["p"]},
        {"name": "b", "image": "3"},
        {"name": "c"},
    ]


def test_items_can_be_deleted_and_the_list_replaced() -> None:
    assert _containers({"containers": [{"name": "a", "$patch": "delete"}]}) == [{"name": "b", "image": "2"}]
    assert _containers({"containers": [{"name": "z"}, {"$patch": "replace"}]}) == [{"name": "z"}]


def test_lists_without_rules_are_replaced_and_maps_merge() -> None:
    assert _patched({"spec": {"tolerations": [{"key": "z"}]}})["spec"]["tolerations"] == [{"key": "z"}]
    assert _containers({"containers": [{"name": "a", "args": ["q"]}]})[0]["args"] == ["q"]
    assert _patched({"metadata": {"labels": {"b": "2", "a": None}}})["metadata"]["labels"] == {"b": "2"}


def test_primitive_lists_unite_and_lose_items() -> None:
    metadata = _patched({"metadata": {"finalizers": ["z", "x"]}})["metadata"]
    assert sorted(metadata["finalizers"]) == ["x", "y", "z"]
    metadata = _patched({"metadata": {"$deleteFromPrimitiveList/finalizers": ["x", "none"]}})["metadata"]
    assert metadata["finalizers"] == ["y"]


def test_order_can_be_set() -> None:
    found = _containers(
        {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}], "containers": [{"name": "a", "image": "9"}]}
    )
    assert [(item["name"], item["image"]) for item in found] == [("b", "2"), ("a", "9")]


def test_retain_keys_drops_the_others() -> None:
    patch = {"spec": {"volumes": [{"name": "v", "$retainKeys": ["name", "hostPath"], "hostPath": {"path": "/"}}]}}
    assert _patched(patch)["spec"]["volumes"] == [{"name": "v", "hostPath": {"path": "/"}}]


def test_a_map_can_be_replaced_and_emptied() -> None:
    assert _patched({"metadata": {"labels": {"$patch": "replace", "n": "1"}}})["metadata"]["labels"] == {"n": "1"}
    assert _patched({"metadata": {"labels": {"$patch": "delete"}}})["metadata"]["labels"] == {}


def test_refusals() -> None:
    with pytest.raises(Malformed, match=r"map: map\[image:z\] does not contain declared merge key: name"):
        _patched({"spec": {"containers": [{"image": "z"}]}})
    with pytest.raises(BadRequest, match="invalid patch format of retainKeys"):
        _patched({"spec": {"$retainKeys": ["volumes"], "nodeName": "n"}})
    with pytest.raises(Malformed, match="unknown patch type: bend in map"):
        _patched({"metadata": {"labels": {"$patch": "bend"}}})
    with pytest.raises(BadRequest, match="invalid JSON document"):
        _patched([])
