"""Values seen through their schema: which fields they set, how two differ, how they merge.

Three kinds of places: leaves (scalars, and what has one owner as a whole: `atomic`), objects whose fields are owned one
by one, and lists whose items are known by keys (`list_type="map"`) or by value (`"set"`).

For each type the walk is compiled once into `Node`s.

Source: structured-merge-diff/v6/typed/{compare,tofieldset,remove,merge,helpers}.go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from json.encoder import encode_basestring
from typing import Any

import msgspec

from tiphys.api.apply.fieldset import MEMBER, Fields, is_member
from tiphys.api.meta.schema import Proto, Struct
from tiphys.api.meta.shape import EitherOf, ListOf, MapOf, Scalar, Shape, StructOf, shape_of

_KEY_DEFAULTS: Mapping[str, Any] = {"protocol": "TCP"}
"""Of built-in types: list keys that may be left out, with what they then are."""

Difference = tuple[Fields | None, Fields | None, Fields | None]
"""Removed, modified, added."""
_SAME: Difference = (None, None, None)
_MODIFIED: Difference = (None, MEMBER, None)


class BadItem(ValueError):
    """A list item without any of its keys, or one that cannot be an item of a set."""


def _json(value: Any) -> str:
    return encode_basestring(value) if type(value) is str else msgspec.json.encode(value).decode()


def key_element(keys: tuple[str, ...], defaults: Mapping[str, Any] = _KEY_DEFAULTS) -> Callable[[Any], str]:
    """How an item's path element is made of its keys. `defaults`: what keys are that are left out."""
    ordered = sorted(keys)
    if len(keys) == 1 and keys[0] not in defaults:
        name, head = keys[0], f'k:{{"{keys[0]}":'

        def one(item: Any) -> str:
            value = item.get(name) if type(item) is dict else None
            if type(value) is str:
                return f"{head}{encode_basestring(value)}}}"
            return several(item)

    def several(item: Any) -> str:
        if not isinstance(item, dict):
            raise BadItem("associative list with keys may not have non-map elements")
        parts = []
        for key in ordered:
            value = item.get(key, defaults.get(key))
            if value is not None:
                parts.append(f'"{key}":{_json(value)}')
        if not parts:
            names = " ".join(f'"{key}"' for key in keys)
            raise BadItem(
                f"associative list with keys has an element that omits all key fields [{names}] "
                "(and doesn't have default values for any key fields)"
            )
        return "k:{" + ",".join(parts) + "}"

    return one if len(keys) == 1 and keys[0] not in defaults else several


def set_element(item: Any) -> str:
    if isinstance(item, dict | list) or item is None:
        raise BadItem("associative list without keys has an element that's a map, list or null type")
    return "v:" + _json(item)


_HOLDERS: dict[str, type] = {"struct": dict, "map": dict, "list": list}


class Node:
    """How to walk values of one place. Made by `root`, or from the schema of a custom kind."""

    __slots__ = ("_fields", "_make_fields", "_wanted", "element", "form", "item", "kind", "value")

    def __init__(
        self,
        kind: str,
        form: str,
        *,
        fields: Callable[[], dict[str, Node]] | None = None,
        value: Node | None = None,
        item: Node | None = None,
        element: Callable[[Any], str] | None = None,
        unchecked: bool = False,
    ) -> None:
        """`unchecked`: values may be of another type than the form says, as those of custom kinds before validation."""
        self._wanted = _HOLDERS.get(kind) if unchecked else None
        self.kind = kind
        """How parts are owned: leaf (as a whole), struct, map, list; any (map for an object, leaf for all else)."""
        self.form = form
        """What a value must be: struct, map, list, string, number, boolean, scalar; any."""
        self.value = value
        """Of a map, or a struct with free keys: what is under the others."""
        self.item = item
        self.element = set_element if element is None else element
        """Of a list whose items are known by something: by what."""
        self._make_fields = fields
        self._fields: dict[str, tuple[str, Node]] | None = None

    @property
    def fields(self) -> dict[str, tuple[str, Node]]:
        """Of a struct: path element and node by JSON name; resolved on first use, since types may hold themselves."""
        if self._fields is None:
            made = self._make_fields() if self._make_fields is not None else {}
            self._fields = {name: ("f:" + name, node) for name, node in made.items()}
        return self._fields

    def child(self, name: str) -> tuple[str, Node]:
        """Path element and node below an object."""
        if self.kind == "struct":
            found = self.fields.get(name)
            if found is not None:
                return found
        elif self.kind == "any":
            return "f:" + name, self
        return "f:" + name, self.value or _LEAF

    def below(self, element: str) -> Node:
        """The node that a path element leads to."""
        if self.kind == "list":
            return self.item or _LEAF
        return _LEAF if self.kind == "leaf" else self.child(element[2:])[1]

    def is_declared(self, element: str) -> bool:
        return self.kind == "struct" and element[2:] in self.fields

    def kind_for(self, *values: Any) -> str:
        """`kind`, with `any` decided by the values; leaf for what is not of its type."""
        if self.kind != "any":
            wanted = self._wanted
            if wanted is not None and not all(value is None or type(value) is wanted for value in values):
                return "leaf"
            return self.kind
        return "map" if all(type(value) is dict for value in values) else "leaf"


_FORMS = {
    Scalar.STRING: "string", Scalar.BYTES: "string", Scalar.TIME: "string", Scalar.MICRO_TIME: "string",
    Scalar.INT32: "number", Scalar.INT64: "number", Scalar.FLOAT: "number", Scalar.BOOL: "boolean",
}  # fmt: skip
_PLAIN = Proto(())
_LEAF = Node("leaf", "any")
UNTYPED = Node("any", "any")
"""What nothing is said of: objects are owned key by key, the rest as a whole."""


def _declared(shape: Shape, rules: Proto) -> Node:
    """The node of a place in a built-in type."""
    if isinstance(shape, StructOf):
        whole = rules.atomic or shape.atomic
        return Node(
            "leaf" if whole else "struct",
            "struct",
            fields=lambda: {name: _declared(field.shape, field.rules) for name, field in shape.fields.items()},
        )
    if isinstance(shape, MapOf):
        return Node("leaf" if rules.atomic else "map", "map", value=_declared(shape.value, _PLAIN))
    if isinstance(shape, ListOf):
        item = _declared(shape.item, _PLAIN)
        if rules.atomic or rules.list_type not in ("map", "set"):
            return Node("leaf", "list", item=item)
        return Node(
            "list", "list", item=item, element=key_element(rules.list_map_keys) if rules.list_map_keys else None
        )
    if isinstance(shape, EitherOf) or shape in (Scalar.ANY, Scalar.FIELDS):
        return UNTYPED
    return Node("leaf", _FORMS.get(shape, "scalar"))


@cache
def root(schema: type[Struct]) -> Node:
    """The compiled walk of an API type."""
    return _declared(shape_of(schema), _PLAIN)


def added(node: Node, value: Any) -> Fields:
    """Every field of a value that was not there before, objects and lists themselves included."""
    kind = node.kind_for(value)
    if kind == "leaf" or not value:
        return MEMBER
    out: Fields = {".": MEMBER}
    if kind == "struct":
        fields, others = node.fields, node.value
        for name, item in value.items():
            found = fields.get(name)
            if found is None:
                out["f:" + name] = MEMBER if others is None else added(others, item)
            else:
                element, inner = found
                out[element] = MEMBER if inner.kind == "leaf" else added(inner, item)
    elif kind == "map":
        for name, item in value.items():
            element, inner = node.child(name)
            out[element] = MEMBER if inner.kind == "leaf" else added(inner, item)
    else:
        inner = node.item or _LEAF
        for item in value:
            element = node.element(item)
            out[element] = MEMBER if element in out else added(inner, item)
    return out


def owned(node: Node, value: Any, *, keyed: bool = False) -> Fields | None:
    """The fields that an applied configuration claims: leaves, list items, map entries; not the objects around them.

    `keyed`: the value is a list item or a map entry, which is claimed itself.
    """
    kind = node.kind_for(value)
    if kind == "leaf":
        return MEMBER
    if kind == "list":
        items: Fields = {}
        for item in value or ():
            element = node.element(item)
            items[element] = MEMBER if element in items else owned(node.item or _LEAF, item, keyed=True) or MEMBER
        return items or (MEMBER if keyed else None)
    if not value:
        return MEMBER
    out: Fields = {".": MEMBER} if keyed else {}
    for name, item in value.items():
        element, inner = node.child(name)
        if item is None:
            out[element] = MEMBER
            continue
        claimed = owned(inner, item, keyed=not node.is_declared(element))
        if claimed is not None:
            out[element] = claimed
    return out or None


def compare(node: Node, old: Any, new: Any) -> Difference:
    """How `new` differs from `old`; both are there."""
    if old is new:
        return _SAME
    kind = node.kind_for(old, new)
    if kind == "leaf":
        return _SAME if old == new and type(old) is type(new) else _MODIFIED
    if not old and not new:
        return _SAME
    if kind == "list":
        return _compare_lists(node, old or [], new or [])
    removed: Fields = {}
    modified: Fields = {}
    more: Fields = {}
    for name, before in old.items():
        element, inner = node.child(name)
        after = new.get(name)
        if after is None:
            removed[element] = added(inner, before)
        elif before is not after and (before != after or type(before) is not type(after)):
            _note(element, compare(inner, before, after), removed, modified, more)
    for name, after in new.items():
        if name not in old:
            element, inner = node.child(name)
            more[element] = added(inner, after)
    return removed or None, modified or None, more or None


def _note(element: str, difference: Difference, removed: Fields, modified: Fields, more: Fields) -> None:
    for part, home in zip(difference, (removed, modified, more), strict=True):
        if part is not None:
            home[element] = part


def _compare_lists(node: Node, old: list[Any], new: list[Any]) -> Difference:
    before, repeated_before = _by_element(node, old)
    after, repeated_after = _by_element(node, new)
    inner = node.item or _LEAF
    removed: Fields = {}
    modified: Fields = {}
    more: Fields = {}
    for element, item in before.items():
        if element in repeated_before or element in repeated_after:
            if element not in after:
                removed[element] = MEMBER
            elif repeated_before.get(element, [item]) != repeated_after.get(element, [after[element]]):
                modified[element] = MEMBER
        elif element not in after:
            removed[element] = added(inner, item)
        else:
            _note(element, compare(inner, item, after[element]), removed, modified, more)
    for element, item in after.items():
        if element not in before:
            more[element] = MEMBER if element in repeated_after else added(inner, item)
    return removed or None, modified or None, more or None


def _by_element(node: Node, items: list[Any]) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """Items by path element, and all items of those that stand more than once."""
    found: dict[str, Any] = {}
    repeated: dict[str, list[Any]] = {}
    for item in items:
        element = node.element(item)
        if element in found:
            repeated.setdefault(element, [found[element]]).append(item)
        else:
            found[element] = item
    return found, repeated


def remove(node: Node, value: Any, fields: Fields) -> Any:
    """The value without the members of `fields`. What loses all its parts stays, empty."""
    kind = node.kind_for(value)
    if kind == "leaf" or not value:
        return value
    if kind == "list":
        kept = []
        for item in value:
            found = fields.get(node.element(item))
            if found is None:
                kept.append(item)
            elif not is_member(found):
                kept.append(remove(node.item or _LEAF, item, found))
        return kept
    out = {}
    for name, item in value.items():
        element, inner = node.child(name)
        found = fields.get(element)
        if found is None:
            out[name] = item
        elif not is_member(found):
            out[name] = remove(inner, item, found)
    return out


def with_named_fields(node: Node, fields: Fields) -> Fields:
    """The set with every declared field on the way to a member being a member itself."""
    out: Fields = {}
    for element, inner in fields.items():
        if element == ".":
            out["."] = MEMBER
            continue
        deeper = with_named_fields(node.below(element), inner) if inner else MEMBER
        if inner and node.is_declared(element) and "." not in deeper:
            deeper = {".": MEMBER, **deeper}
        out[element] = deeper
    return out


def merge(node: Node, live: Any, config: Any) -> Any:
    """`live` with what `config` says put over it. List items keep their place; new ones follow the config's order."""
    kind = node.kind_for(live, config)
    if kind == "leaf" or live is None or config is None:
        return config
    if kind == "list":
        return _merge_lists(node, live, config)
    if not isinstance(live, dict) or not isinstance(config, dict) or not config:
        return live if config == {} and isinstance(live, dict) else config
    out = dict(live)
    for name, value in config.items():
        inner = node.child(name)[1]
        out[name] = merge(inner, live.get(name), value) if name in live else value
    return out


def _merge_lists(node: Node, live: list[Any], config: list[Any]) -> list[Any]:
    """Both orders are kept as far as they agree; where they do not, the config's wins."""
    inner = node.item or _LEAF
    wanted = {node.element(item): item for item in config}
    present: dict[str, Any] = {}
    repeated = set()
    order = []
    for item in live:
        element = node.element(item)
        if element in present:
            repeated.add(element)
        present.setdefault(element, item)
        order.append((element, item))
    out: list[Any] = []
    placed: set[str] = set()
    queue = list(wanted)
    shared = [element for element in queue if element in present]

    def place(element: str) -> None:
        placed.add(element)
        if element in shared:
            shared.remove(element)
        if element in present and element not in repeated:
            out.append(merge(inner, present[element], wanted[element]))
        else:
            out.append(wanted[element])

    left = 0
    while left < len(order) or queue:
        if left < len(order):
            element, item = order[left]
            if queue and element == queue[0]:
                place(queue.pop(0))
                left += 1
                continue
            if element in wanted and (element in placed or (queue and shared and shared[0] != element)):
                left += 1
                continue
            if element not in wanted:
                out.append(item)
                left += 1
                continue
        if queue:
            place(queue.pop(0))
    return out
