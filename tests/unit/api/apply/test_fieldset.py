"""Sets of fields in FieldsV1 form."""

import pytest

from tiphys.api.apply.fieldset import Fields, difference, intersection, is_valid, paths, union, without

_A: Fields = {"f:spec": {"f:replicas": {}, "f:template": {".": {}, "f:x": {}}}}
_B: Fields = {"f:spec": {"f:template": {}, "f:paused": {}}}


def test_algebra() -> None:
    assert union(_A, _B) == {"f:spec": {"f:replicas": {}, "f:template": {".": {}, "f:x": {}}, "f:paused": {}}}
    assert difference(_A, _B) == {"f:spec": {"f:replicas": {}, "f:template": {"f:x": {}}}}
    assert intersection(_A, _B) == {"f:spec": {"f:template": {}}}
    assert difference(_A, _A) is None
    assert union(None, _A) is _A
    assert intersection(_A, None) is None


def test_a_leaf_and_a_branch_unite_to_a_member_with_children() -> None:
    assert union({"f:a": {}}, {"f:a": {"f:b": {}}}) == {"f:a": {".": {}, "f:b": {}}}


def test_without_drops_whole_branches() -> None:
    assert without(_A, ("spec", "template")) == {"f:spec": {"f:replicas": {}}}
    assert without(_A, ("spec",)) is None
    assert without(_A, ("status",)) is _A


def test_paths_are_upstreams_text_near_members_first() -> None:
    fields: Fields = {
        "f:spec": {"f:b": {}, "f:a": {'k:{"name":"x","port":80}': {".": {}, "f:image": {}}, 'v:"q"': {}}},
        "f:z": {},
    }
    assert list(paths(fields)) == [
        ".z",
        ".spec.b",
        '.spec.a[name="x",port=80]',
        '.spec.a[="q"]',
        '.spec.a[name="x",port=80].image',
    ]


@pytest.mark.parametrize(
    "fields", [[], {"x": {}}, {"f:a": 1}, {"k:[": {}}, {"k:1": {}}, {"v:": {}}, {"f:a": {"q:": {}}}]
)
def test_foreign_json_is_not_a_set(fields: object) -> None:
    assert not is_valid(fields)


def test_real_sets_are_valid() -> None:
    assert is_valid({"f:a": {".": {}, 'k:{"a":1}': {}, "v:1": {}, "i:3": {}}})
