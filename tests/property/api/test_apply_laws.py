"""Laws of field sets and of server-side apply."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tiphys.api import codec
from tiphys.api.apply import apply, update_managed
from tiphys.api.apply.fieldset import difference, intersection, is_valid, paths, union
from tiphys.api.apply.form import empty_json
from tiphys.api.apply.managers import NEVER_OWNED
from tiphys.api.apply.typed import compare, merge, owned, root
from tiphys.api.kinds import CONFIGMAP, POD, SECRET
from tiphys.api.kinds.core.pod.schema import Pod

_ELEMENTS = st.sampled_from(["f:a", "f:b", 'k:{"n":"x"}', 'v:"q"'])


def _node(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    branch = st.dictionaries(_ELEMENTS, inner, min_size=1, max_size=3)
    return branch | branch.map(lambda node: {".": {}, **node})


_NODES: st.SearchStrategy[Any] = st.recursive(st.just({}), _node, max_leaves=6)
_SETS = st.none() | st.dictionaries(_ELEMENTS, _NODES, min_size=1, max_size=3)


def _members(fields: Any) -> set[str]:
    return set(paths(fields))


@given(_SETS, _SETS)
def test_field_sets_obey_set_algebra(left: Any, right: Any) -> None:
    assert _members(union(left, right)) == _members(left) | _members(right)
    assert _members(difference(left, right)) == _members(left) - _members(right)
    assert _members(intersection(left, right)) == _members(left) & _members(right)
    for result in (union(left, right), difference(left, right), intersection(left, right)):
        assert result is None or (is_valid(result) and _members(result))


_NAMES = st.sampled_from(["a", "b", "c"])
_CONTAINERS: st.SearchStrategy[list[dict[str, Any]]] = st.lists(
    st.fixed_dictionaries(
        {"name": _NAMES},
        optional={
            "image": st.sampled_from(["1", "2"]),
            "ports": st.lists(st.fixed_dictionaries({"containerPort": st.integers(1, 3)}), max_size=2, unique_by=str),
            "securityContext": st.just({}),
        },
    ),
    max_size=3,
    unique_by=lambda item: str(item["name"]),
)
_CONFIGS = st.builds(
    lambda labels, spec: {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "labels": labels}, "spec": spec},
    # Never empty: an applied `labels: {}` is claimed, but no object keeps it, so applying it again adds it again.
    st.dictionaries(_NAMES, st.sampled_from(["1", "2"]), min_size=1, max_size=2),
    st.fixed_dictionaries({}, optional={"containers": _CONTAINERS, "nodeName": st.sampled_from(["n", "m"])}),
)


def _claims(value: dict[str, Any]) -> set[str]:
    """What a value claims, without empty objects: those are claimed only as long as nobody puts anything in."""
    hollow = (".spec", ".securityContext")
    return {path for path in _members(owned(root(Pod), value)) if not path.endswith(hollow)}


@settings(max_examples=60)
@given(st.lists(st.tuples(st.sampled_from(["x", "y"]), _CONFIGS), min_size=1, max_size=4))
def test_applying_twice_is_applying_once(steps: list[tuple[str, dict[str, Any]]]) -> None:
    live: dict[str, Any] | None = None
    entries: list[Any] = []
    for number, (manager, config) in enumerate(steps):
        now = f"2026-01-01T00:00:{number:02}Z"
        done = apply(POD, live, entries, config, manager=manager, force=True, now_text=now)
        stored = codec.to_json(codec.from_json(Pod, done.value))
        again = apply(POD, stored, done.managed, config, manager=manager, force=True, now_text="2027-01-01T00:00:00Z")
        assert codec.to_json(codec.from_json(Pod, again.value)) == stored
        assert [(e.manager, e.fields_v1.fields) for e in again.managed] == [
            (e.manager, e.fields_v1.fields) for e in done.managed
        ]
        assert _claims(config) <= _claims(stored)
        live, entries = stored, done.managed


@settings(max_examples=60)
@given(_CONFIGS, _CONFIGS)
def test_what_a_lone_manager_leaves_out_disappears(first: dict[str, Any], second: dict[str, Any]) -> None:
    one = apply(POD, None, [], first, manager="m", force=False, now_text="2026-01-01T00:00:00Z")
    two = apply(POD, one.value, one.managed, second, manager="m", force=False, now_text="2026-01-01T00:00:01Z")
    dropped = _members(owned(root(Pod), first)) - _members(owned(root(Pod), second))
    leaves = {path for path in _members(owned(root(Pod), two.value)) if path.endswith((".image", ".nodeName"))}
    assert not dropped & leaves


@given(_CONFIGS, _CONFIGS)
def test_merging_contains_the_configuration(live: dict[str, Any], config: dict[str, Any]) -> None:
    merged = merge(root(Pod), live, config)
    assert _claims(config) <= _claims(merged)
    assert merge(root(Pod), merged, config) == merged


_TEXTS = st.dictionaries(_NAMES, st.sampled_from(["", "1", "2"]), max_size=2)
_DATA = st.dictionaries(_NAMES, st.sampled_from(["", "eA=="]), max_size=2)
_META = st.fixed_dictionaries(
    {},
    optional={
        "name": _NAMES,
        "generateName": _NAMES,
        "uid": _NAMES,
        "labels": _TEXTS,
        "annotations": _TEXTS,
        "finalizers": st.lists(_NAMES, unique=True),
    },
)
_CREATED = st.one_of(
    st.tuples(st.just(CONFIGMAP), st.fixed_dictionaries({"metadata": _META, "data": _TEXTS, "binaryData": _DATA})),
    st.tuples(st.just(SECRET), st.fixed_dictionaries({"metadata": _META, "data": _DATA, "stringData": _TEXTS})),
    st.tuples(st.just(POD), _CONFIGS),
)


@given(_CREATED)
@settings(max_examples=300)
def test_what_a_new_object_owns_is_what_it_sets_whatever_was_created_before(case: Any) -> None:
    kind, value = case
    obj = codec.from_json(kind.schema, value)
    found = update_managed(None, obj, "m", "Update", "v1", "2026-01-01T00:00:00Z")
    expected = difference(
        compare(root(kind.schema), empty_json(kind.schema), codec.to_json(obj))[2] or None, NEVER_OWNED
    )
    assert [entry.fields_v1.fields for entry in found] == ([expected] if expected else [])
