"""Laws of the patches, over arbitrary JSON."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tiphys.api import jsonpatch, mergepatch, strategic
from tiphys.api.codec_json import clone, equal
from tiphys.api.errors import ApiError
from tiphys.api.kinds.core.pod.schema import Pod

_KEYS = st.sampled_from(["a", "b", "c/d", "e~f", ""])
_LEAVES = st.one_of(st.booleans(), st.integers(-3, 3), st.sampled_from(["", "x", "y"]))
_VALUES = st.recursive(
    _LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=3), max_leaves=8
)
_OBJECTS = st.dictionaries(_KEYS, _VALUES, max_size=4)
_PATCHES = st.dictionaries(
    _KEYS,
    st.recursive(
        _LEAVES | st.none(),
        lambda inner: st.lists(_LEAVES, max_size=2) | st.dictionaries(_KEYS, inner, max_size=3),
        max_leaves=6,
    ),
    max_size=4,
)


def _difference(old: Any, new: Any) -> Any:
    """The smallest merge patch that makes `old` into `new` (objects without nulls): what clients send."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return new
    patch = {key: None for key in old if key not in new}
    for key, value in new.items():
        if key not in old:
            patch[key] = value
        elif not equal(old[key], value):
            patch[key] = _difference(old[key], value)
    return patch


@given(_OBJECTS, _OBJECTS)
def test_a_merge_patch_made_from_a_difference_leads_there(old: dict[str, Any], new: dict[str, Any]) -> None:
    assert equal(mergepatch.apply(old, _difference(old, new)), new)


@given(_OBJECTS, _PATCHES)
def test_a_merge_patch_twice_is_once_and_arguments_stay(document: dict[str, Any], patch: dict[str, Any]) -> None:
    kept = clone(document), clone(patch)
    once = mergepatch.apply(document, patch)
    assert equal(mergepatch.apply(once, patch), once)
    assert (document, patch) == kept


def _pointer(key: str) -> str:
    return "/" + key.replace("~", "~0").replace("/", "~1")


@given(_OBJECTS, _KEYS, _VALUES)
def test_add_test_and_remove_undo_each_other(document: dict[str, Any], key: str, value: Any) -> None:
    path = _pointer(key)
    added = jsonpatch.apply(
        document, [{"op": "add", "path": path, "value": value}, {"op": "test", "path": path, "value": value}]
    )
    assert equal(added[key], value)
    removed = jsonpatch.apply(added, [{"op": "remove", "path": path}])
    assert equal(removed, {name: item for name, item in document.items() if name != key})


_OPERATIONS = st.lists(
    st.fixed_dictionaries(
        {"op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test", "x"])},
        optional={
            "path": st.sampled_from(["", "/", "/a", "/a/0", "/a/-", "/b/a", "/c~1d", "a", "/a/-9"]),
            "from": st.sampled_from(["", "/a", "/b", "/a/0"]),
            "value": _VALUES | st.none(),
        },
    ),
    max_size=4,
)


@given(_OBJECTS, _OPERATIONS)
def test_json_patches_answer_or_refuse_and_never_touch_the_document(
    document: dict[str, Any], operations: list[dict[str, Any]]
) -> None:
    kept = clone(document)
    try:
        jsonpatch.apply(document, operations)
    except ApiError as refusal:
        assert refusal.code in (400, 422)  # noqa: PT017  # both outcomes are right
    assert document == kept


_CONTAINERS = st.lists(
    st.fixed_dictionaries(
        {"name": st.sampled_from(["a", "b", "c", "d"])}, optional={"image": st.sampled_from(["1", "2"])}
    ),
    max_size=4,
    unique_by=lambda item: item["name"],
)


@settings(max_examples=50)
@given(_CONTAINERS, _CONTAINERS)
def test_a_strategic_patch_twice_is_once(live: list[Any], change: list[Any]) -> None:
    document = {"spec": {"containers": live}}
    patch = {"spec": {"containers": change}}
    once = strategic.apply(Pod, document, patch)
    assert strategic.apply(Pod, once, patch) == once
    assert {item["name"] for item in once["spec"]["containers"]} == {item["name"] for item in (*live, *change)}
