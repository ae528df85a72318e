"""Sets of field paths, as FieldsV1: nested dicts whose keys are path elements.

    {"f:spec": {"f:replicas": {}, "f:containers": {'k:{"name":"a"}': {".": {}, "f:image": {}}}}}

`f:` is a field, `k:` a list item by its keys, `v:` an item of a set. An empty dict is a member of the set; one with
children is a member when it holds `.`. Sets are never mutated, so they share parts freely. None is the empty set.

Source: structured-merge-diff/v6/fieldpath.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

Fields = dict[str, Any]

MEMBER: Fields = {}
"""A member without children; shared, like all sets."""


def is_member(node: Fields) -> bool:
    return not node or "." in node


def union(left: Fields | None, right: Fields | None) -> Fields | None:
    if not left or not right or left is right:
        return left or right
    return _union(left, right)


def _union(left: Fields, right: Fields) -> Fields:
    """Below the top, where an empty dict is a member."""
    if left is right:
        return left
    if not left or not right:
        return _with_dot(left or right)
    out = dict(left)
    for key, theirs in right.items():
        ours = out.get(key)
        out[key] = theirs if ours is None else _union(ours, theirs)
    return out if len(out) == len(left) else dict(sorted(out.items()))


def ordered(fields: Fields) -> Fields:
    """The same set with its elements in the order in which they are written: `.`, then fields and items by name."""
    return {key: ordered(node) if node else node for key, node in sorted(fields.items())}


def _with_dot(node: Fields) -> Fields:
    return node if is_member(node) else {".": MEMBER, **node}


def difference(left: Fields | None, right: Fields | None) -> Fields | None:
    """Members of `left` that are not members of `right`; children of a removed member stay."""
    if not left or not right:
        return left
    return _difference(left, right, top=True)


def _difference(left: Fields, right: Fields, *, top: bool = False) -> Fields | None:
    member = not top and is_member(left) and not is_member(right)
    children: Fields = {}
    changed = False
    for key, ours in left.items():
        if key == ".":
            continue
        theirs = right.get(key)
        if theirs is None:
            children[key] = ours
            continue
        rest = _difference(ours, theirs)
        changed = changed or rest is not ours
        if rest is not None:
            children[key] = rest
    if not changed and (top or member == is_member(left)):
        return left
    if children:
        return {".": MEMBER, **children} if member else children
    return MEMBER if member else None


def intersection(left: Fields | None, right: Fields | None) -> Fields | None:
    if not left or not right:
        return None
    return _intersection(left, right, top=True)


def _intersection(left: Fields, right: Fields, *, top: bool = False) -> Fields | None:
    member = not top and is_member(left) and is_member(right)
    children: Fields = {}
    for key, ours in left.items():
        if key != "." and (theirs := right.get(key)) is not None:
            both = _intersection(ours, theirs)
            if both is not None:
                children[key] = both
    if children:
        return {".": MEMBER, **children} if member else children
    return MEMBER if member else None


def without(fields: Fields | None, *paths: tuple[str, ...]) -> Fields | None:
    """The set without everything at and below the given paths of field names."""
    for path in paths:
        fields = _without(fields, path)
    return fields


def _without(fields: Fields | None, path: tuple[str, ...]) -> Fields | None:
    if not fields:
        return fields
    key = "f:" + path[0]
    child = fields.get(key)
    if child is None:
        return fields
    rest = None if len(path) == 1 else _without(child, path[1:])
    if rest is child:
        return fields
    out = {name: node for name, node in fields.items() if name != key}
    if rest:
        out[key] = rest
    return out or None


def paths(fields: Fields | None, prefix: str = "") -> Iterator[str]:
    """The members as text (`.spec.containers[name="a"].image`), in upstream's order: near ones first, then sorted."""
    children = sorted((key, node) for key, node in (fields or {}).items() if key != ".")
    for key, node in children:
        if is_member(node):
            yield prefix + element_text(key)
    for key, node in children:
        if node:
            yield from paths(node, prefix + element_text(key))


def element_text(key: str) -> str:
    """One path element as messages show it."""
    kind, _, rest = key.partition(":")
    if kind == "f":
        return "." + rest
    if kind == "k":
        keys = json.loads(rest)
        return "[" + ",".join(f"{name}={_shown(value)}" for name, value in sorted(keys.items())) + "]"
    return f"[={_shown(json.loads(rest))}]" if kind == "v" else f"[{rest}]"


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def is_valid(fields: Any, depth: int = 0) -> bool:
    """Whether JSON from outside is a field set: nested objects with path elements as keys."""
    if not isinstance(fields, dict) or depth > 100:
        return False
    return all((key == "." or _is_element(key)) and is_valid(node, depth + 1) for key, node in fields.items())


def _is_element(key: str) -> bool:
    if key[:2] == "f:":
        return True
    if key[:2] == "i:":
        return key[2:].isdigit()
    try:
        value = json.loads(key[2:])
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) if key[:2] == "k:" else key[:2] == "v:"
