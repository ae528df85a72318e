"""Fields of values by schema: extract, compare, merge, remove."""

from typing import Any

import pytest

from tiphys.api.apply.typed import BadItem, added, compare, merge, owned, remove, root, with_named_fields
from tiphys.api.kinds.core.pod.schema import Pod

_ROOT = root(Pod)


def _spec(**fields: Any) -> dict[str, Any]:
    return {"spec": fields}


def test_applied_fields_are_leaves_and_items_not_the_objects_around() -> None:
    value = _spec(containers=[{"name": "a", "ports": [{"containerPort": 80}], "securityContext": {}}], nodeName="n")
    assert owned(_ROOT, value) == {
        "f:spec": {
            "f:nodeName": {},
            "f:containers": {
                'k:{"name":"a"}': {
                    ".": {},
                    "f:name": {},
                    "f:ports": {'k:{"containerPort":80,"protocol":"TCP"}': {".": {}, "f:containerPort": {}}},
                    "f:securityContext": {},
                }
            },
        }
    }


def test_an_empty_list_claims_nothing_and_an_empty_object_itself() -> None:
    assert owned(_ROOT, _spec(containers=[])) is None
    assert owned(_ROOT, {"spec": {}}) == {"f:spec": {}}


def test_added_fields_include_the_objects_around() -> None:
    assert added(_ROOT, {"metadata": {"labels": {"a": "b"}, "finalizers": ["x"]}}) == {
        ".": {},
        "f:metadata": {".": {}, "f:labels": {".": {}, "f:a": {}}, "f:finalizers": {".": {}, 'v:"x"': {}}},
    }


def test_atomic_values_are_leaves() -> None:
    value = {"metadata": {"ownerReferences": [{"uid": "u", "name": "n"}]}, "spec": {"tolerations": [{"key": "k"}]}}
    assert owned(_ROOT, value) == {
        "f:metadata": {"f:ownerReferences": {'k:{"uid":"u"}': {}}},
        "f:spec": {"f:tolerations": {}},
    }


def test_comparison_tells_removed_modified_and_added() -> None:
    old = _spec(nodeName="a", hostname="h", containers=[{"name": "x", "image": "1"}, {"name": "y"}])
    new = _spec(nodeName="b", subdomain="s", containers=[{"name": "x", "image": "2"}, {"name": "z"}])
    removed, modified, more = compare(_ROOT, old, new)
    assert removed == {"f:spec": {"f:hostname": {}, "f:containers": {'k:{"name":"y"}': {".": {}, "f:name": {}}}}}
    assert modified == {"f:spec": {"f:nodeName": {}, "f:containers": {'k:{"name":"x"}': {"f:image": {}}}}}
    assert more == {"f:spec": {"f:subdomain": {}, "f:containers": {'k:{"name":"z"}': {".": {}, "f:name": {}}}}}
    assert compare(_ROOT, old, old) == (None, None, None)


def test_repeated_items_are_compared_together() -> None:
    ports = [{"containerPort": 1, "name": "a"}, {"containerPort": 1, "name": "b"}]
    one = _spec(containers=[{"name": "x", "ports": ports}])
    other = _spec(containers=[{"name": "x", "ports": [ports[0], {"containerPort": 1, "name": "c"}]}])
    _, modified, _ = compare(_ROOT, one, other)
    path: dict[str, Any] = {'k:{"containerPort":1,"protocol":"TCP"}': {}}
    assert modified == {"f:spec": {"f:containers": {'k:{"name":"x"}': {"f:ports": path}}}}


def test_items_without_keys_are_refused() -> None:
    with pytest.raises(BadItem, match='omits all key fields \\["name"\\]'):
        owned(_ROOT, _spec(containers=[{"image": "x"}]))


@pytest.mark.parametrize(
    ("live", "config", "result"),
    [
        ("abc", "b", "abc"),
        ("abc", "d", "abcd"),
        ("abc", "cba", "cba"),
        ("abc", "ca", "bca"),
        ("", "ab", "ab"),
        ("abc", "da", "dabc"),
    ],
)
def test_merged_lists_keep_both_orders(live: str, config: str, result: str) -> None:
    def pod(names: str) -> dict[str, Any]:
        return _spec(containers=[{"name": name} for name in names])

    merged = merge(_ROOT, pod(live), pod(config))
    assert "".join(item["name"] for item in merged["spec"]["containers"]) == result


def test_removal_leaves_emptied_objects_and_other_members() -> None:
    value = {"metadata": {"labels": {"a": "1"}, "name": "n"}, "spec": {"containers": [{"name": "x", "image": "i"}]}}
    fields = {"f:metadata": {"f:labels": {"f:a": {}}}, "f:spec": {"f:containers": {'k:{"name":"x"}': {"f:image": {}}}}}
    assert remove(_ROOT, value, fields) == {
        "metadata": {"labels": {}, "name": "n"},
        "spec": {"containers": [{"name": "x"}]},
    }
    assert remove(_ROOT, value, {"f:spec": {"f:containers": {'k:{"name":"x"}': {".": {}, "f:image": {}}}}})["spec"] == {
        "containers": []
    }


def test_declared_fields_on_the_way_become_members() -> None:
    fields = {"f:metadata": {"f:labels": {"f:a": {}}}, "f:spec": {"f:containers": {'k:{"name":"x"}': {"f:image": {}}}}}
    assert with_named_fields(_ROOT, fields) == {
        "f:metadata": {".": {}, "f:labels": {".": {}, "f:a": {}}},
        "f:spec": {".": {}, "f:containers": {".": {}, 'k:{"name":"x"}': {"f:image": {}}}},
    }
