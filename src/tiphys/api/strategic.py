"""Strategic merge patch: a merge patch that knows which lists have keys.

The rules come from the schema (`proto(merge_key=..., merge=True, retain_keys=True)`); the directives from the patch:
`$patch` (delete, replace, merge), `$deleteFromPrimitiveList/<field>`, `$setElementOrder/<field>`, `$retainKeys`.

Source: staging/src/k8s.io/apimachinery/pkg/util/strategicpatch/patch.go.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any

from tiphys.api.codec_json import clone, equal
from tiphys.api.errors import BadRequest, Malformed
from tiphys.api.meta.schema import Proto, Struct
from tiphys.api.meta.shape import ListOf, MapOf, Shape, StructOf, shape_of

_DIRECTIVE = "$patch"
_RETAIN_KEYS = "$retainKeys"
_DELETE_FROM = "$deleteFromPrimitiveList"
_ORDER = "$setElementOrder"

_NO_RULES = Proto(())
_BAD_ORDER = "invalid patch format of setElementOrder list"

_Object = dict[str, Any]


def apply(schema: type[Struct], document: _Object, patch: Any) -> _Object:
    """The patched document; the arguments stay as they are.

    Raises BadRequest for directives in the wrong form, Malformed for what upstream has no better error
    for: a list item without its key.
    """
    if not isinstance(patch, dict):
        raise BadRequest("invalid JSON document")
    return _merge_object(clone(document), clone(patch), shape_of(schema))


def _rules(shape: Shape | None, name: str) -> tuple[Shape | None, Proto]:
    """Shape and rules of a field. Unknown fields have neither: their objects merge, their lists are replaced."""
    if isinstance(shape, StructOf):
        declared = shape.fields.get(name)
        return (declared.shape, declared.rules) if declared is not None else (None, _NO_RULES)
    return (shape.value, _NO_RULES) if isinstance(shape, MapOf) else (None, _NO_RULES)


def _merge_object(original: _Object, patch: _Object, shape: Shape | None) -> _Object:
    """`original` changed by `patch`; both are used up."""
    if _DIRECTIVE in patch:
        return _replaced(patch)
    _retain_keys(original, patch)
    _set_orders(original, patch, shape)
    for key, value in patch.items():
        name, deleting = key, False
        if key.startswith(_DELETE_FROM):
            name, deleting = _directed_field(key, _DELETE_FROM, "invalid patch format of primitive list"), True
        if value is None:
            original.pop(name, None)
            continue
        current = original.get(name)
        if name not in original or type(current) is not type(value):
            if not deleting:
                _put(original, name, value)
        elif isinstance(value, dict):
            inner, rules = _rules(shape, name)
            original[name] = value if rules.replace else _merge_object(current, value, inner)  # type: ignore[arg-type]  # same type as value
        elif isinstance(value, list):
            inner, rules = _rules(shape, name)
            if deleting:
                original[name] = [item for item in current or [] if not _contains(value, item)]
            else:
                original[name] = _merge_list(current or [], value, inner, rules)
        else:
            original[name] = value
    return original


def _replaced(patch: _Object) -> _Object:
    directive = patch.pop(_DIRECTIVE)
    if directive == "replace":
        return patch
    if directive == "delete":
        return {}
    raise Malformed(f"unknown patch type: {_go(directive)} in map: {_go({**patch, _DIRECTIVE: directive})}")


def _put(original: _Object, name: str, value: Any) -> None:
    cleaned, keep = _without_directives(_without_nulls(value))
    if keep:
        original[name] = cleaned
    else:
        original.pop(name, None)


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


def _without_directives(value: Any) -> tuple[Any, bool]:
    """A value that the document did not have: parts with a `$patch` of their own are not added."""
    if isinstance(value, dict):
        if _DIRECTIVE in value:
            return None, False
        cleaned = {key: _without_directives(item) for key, item in value.items()}
        return {key: item for key, (item, keep) in cleaned.items() if keep}, True
    if isinstance(value, list):
        return [item for item, keep in map(_without_directives, value) if keep], True
    return value, True


def _directed_field(key: str, prefix: str, problem: str) -> str:
    head, slash, name = key.partition("/")
    if head != prefix or not slash:
        raise BadRequest(problem)
    return name


def _retain_keys(original: _Object, patch: _Object) -> None:
    if _RETAIN_KEYS not in patch:
        return
    kept = patch.pop(_RETAIN_KEYS)
    problem = "invalid patch format of retainKeys"
    if not isinstance(kept, list):
        raise BadRequest(problem)
    for key, value in patch.items():
        if value is not None and not key.startswith((_DELETE_FROM, _ORDER)) and key not in kept:
            raise BadRequest(problem)
    for key in [key for key in original if key not in kept]:
        del original[key]


def _set_orders(original: _Object, patch: _Object, shape: Shape | None) -> None:
    """Merge the lists whose order the patch dictates, and take them out of the patch."""
    for key in [key for key in patch if key.startswith(_ORDER)]:
        order = patch.pop(key)
        name = _directed_field(key, _ORDER, _BAD_ORDER)
        current, change = original.get(name), patch.get(name)
        for found in (order, current, change):
            if found is not None and not isinstance(found, list):
                raise Malformed(f"expected a slice, but received a {_go_kind(found)}")
        inner, rules = _rules(shape, name)
        _check_order(change or [], order or [], rules.merge_key)
        if name not in original and name not in patch:
            continue
        if name not in patch:
            merged = current
        elif name not in original:
            merged, _ = _without_directives(change)
        else:
            merged = _merge_list(clone(current or []), change or [], inner, rules)
        original[name] = _ordered(merged or [], order or [], current or [], rules.merge_key)
        patch.pop(name, None)


def _check_order(change: list[Any], order: list[Any], merge_key: str) -> None:
    """The items of the patch must stand in the order that it dictates."""
    items = [item for item in change if not (isinstance(item, dict) and _DIRECTIVE in item)]
    if not items or not order:
        return
    remaining = iter(order)
    for item in items:
        if not any(equal(_key_of(item, merge_key), _key_of(other, merge_key)) for other in remaining):
            raise Malformed(f"The order in patch list:\n{_go(change)}\n doesn't match {_ORDER} list:\n{_go(order)}\n")


def _key_of(item: Any, merge_key: str) -> Any:
    if not merge_key:
        return item
    if not isinstance(item, dict):
        raise Malformed(f"expected a map, but received a {_go_kind(item)}")
    if merge_key not in item:
        raise Malformed(f"map: {_go(item)} does not contain declared merge key: {merge_key}")
    return item[merge_key]


def _merge_list(original: list[Any], patch: list[Any], shape: Shape | None, rules: Proto) -> list[Any]:
    if not rules.merge and not rules.merge_key:
        return patch
    if not original and not patch:
        return original
    if not all(isinstance(item, dict) for item in (*original, *patch)):
        if rules.merge_key:
            odd = next(item for item in (*original, *patch) if not isinstance(item, dict))
            raise Malformed(f"expected a map, but received a {_go_kind(odd)}")
        return _ordered(_unique((*original, *patch)), patch, original, "")
    key = rules.merge_key
    if not key:
        raise Malformed("cannot merge lists without merge key")
    base, changes = _apply_directives(original, patch, key)
    item_shape = shape.item if isinstance(shape, ListOf) else None
    merged = list(base)
    for change in changes:
        wanted = _key_of(change, key)
        at = next((i for i, item in enumerate(merged) if key in item and equal(item[key], wanted)), -1)
        if at >= 0:
            merged[at] = _merge_object(clone(merged[at]), change, item_shape)
        else:
            merged.append(change)
    return _ordered(merged, changes, base, key)


def _apply_directives(original: list[Any], patch: list[Any], key: str) -> tuple[list[Any], list[Any]]:
    """What is left of the list after `$patch: delete|replace` items, and the items to merge."""
    changes, replace = [], False
    for item in patch:
        directive = item.get(_DIRECTIVE)
        if _DIRECTIVE not in item:
            changes.append(item)
        elif directive == "delete":
            wanted = _key_of(item, key)
            original = [other for other in original if not (key in other and equal(other[key], wanted))]
        elif directive == "replace":
            replace = True
        elif directive == "merge":
            raise Malformed("merging lists cannot yet be specified in the patch")
        else:
            raise Malformed(f"unknown patch type: {_go(directive)} in map: {_go(item)}")
    return ([], changes) if replace else (original, changes)


def _ordered(merged: list[Any], patch_order: list[Any], server_order: list[Any], key: str) -> list[Any]:
    """Items that the patch names in the patch's order, the others in between as the server had them."""
    ranks = {_rank(item, key): at for at, item in reversed(list(enumerate(patch_order)))}
    places = {_rank(item, key): at for at, item in reversed(list(enumerate(server_order)))}
    for item in merged:
        _key_of(item, key)
    named = sorted((item for item in merged if _rank(item, key) in ranks), key=lambda item: ranks[_rank(item, key)])
    others = [item for item in merged if _rank(item, key) not in ranks]
    others.sort(key=lambda item: places.get(_rank(item, key), len(places)))
    out: list[Any] = []
    left, right = 0, 0
    while left < len(others) and right < len(named):
        place = places.get(_rank(others[left], key))
        other_place = places.get(_rank(named[right], key))
        if place is not None and other_place is not None and place < other_place:
            out.append(others[left])
            left += 1
        else:
            out.append(named[right])
            right += 1
    return out + others[left:] + named[right:]


def _rank(item: Any, key: str) -> Hashable:
    """What an item is looked up by: its key, told apart by type (`1` is not `true`)."""
    value = item.get(key) if key and isinstance(item, dict) else item
    return (type(value), value if isinstance(value, Hashable) else repr(value))


def _unique(items: Iterable[Any]) -> list[Any]:
    return list({_rank(item, ""): item for item in reversed(list(items))}.values())[::-1]


def _contains(items: list[Any], wanted: Any) -> bool:
    return any(equal(item, wanted) for item in items)


def _go(value: Any) -> str:
    """A value as Go's `%v` prints it."""
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{_go(value[key])}" for key in sorted(value)) + "]"
    if isinstance(value, list):
        return "[" + " ".join(map(_go, value)) + "]"
    if value is None:
        return "<nil>"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _go_kind(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    return {str: "string", int: "int64", float: "float64", dict: "map", list: "slice"}.get(type(value), "nil")
