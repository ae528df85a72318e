"""What the table should hold in all, and how it changes: the fragments of all Services, merged. Pure.

Two Services may ask for the same item: a picking chain that both share, an external address that both claim. The item
is held for the one whose name sorts first, and passes to the next when that one lets go: the outcome depends on what
the Services are, never on the order in which they came.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from tiphys.base.family import IPV4, Family
from tiphys.proxy.ruleset import CHAIN, PICK, SET, TABLE, Fragment, Item

_ELEMENTS_PER_COMMAND = 1000

ServiceKey = tuple[str, str]
"""Namespace and name."""


class Change(NamedTuple):
    """One item before and after; None where there is none."""

    old: str | None
    new: str | None


Changes = dict[Item, Change]


class DesiredTable:
    """The items that the kernel should hold. `replace` costs what the change costs, not what the table holds."""

    def __init__(self) -> None:
        self._fragments: dict[ServiceKey, Fragment] = {}
        self._held: dict[Item, tuple[ServiceKey, str]] = {}
        self._waiting: dict[Item, dict[ServiceKey, str]] = {}
        """Only for items that more than one Service asks for."""

    def __len__(self) -> int:
        return len(self._held)

    def items(self) -> Iterator[tuple[Item, str]]:
        return ((item, value) for item, (_, value) in self._held.items())

    def get(self, item: Item) -> str | None:
        held = self._held.get(item)
        return held[1] if held else None

    def services(self) -> set[ServiceKey]:
        return set(self._fragments)

    def replace(self, key: ServiceKey, fragment: Fragment) -> Changes:
        """Put `fragment` in the place of what this Service asked for before; returns what that changes."""
        before = self._fragments.pop(key, {})
        if fragment:
            self._fragments[key] = fragment
        changes: Changes = {}
        for item in before.keys() - fragment.keys():
            self._change(changes, item, key, None)
        for item, value in fragment.items():
            if before.get(item) != value:
                self._change(changes, item, key, value)
        return changes

    def _change(self, changes: Changes, item: Item, key: ServiceKey, value: str | None) -> None:
        old = self.get(item)
        if old is None and value is not None:
            self._held[item] = (key, value)
            changes[item] = Change(None, value)
            return
        self._drop(item, key)
        if value is not None:
            self._claim(item, key, value)
        new = self.get(item)
        if old != new:
            changes[item] = Change(old, new)

    def _claim(self, item: Item, key: ServiceKey, value: str) -> None:
        held = self._held.get(item)
        if held is None:
            self._held[item] = (key, value)
        elif key < held[0]:
            self._waiting.setdefault(item, {})[held[0]] = held[1]
            self._held[item] = (key, value)
        else:
            self._waiting.setdefault(item, {})[key] = value

    def _drop(self, item: Item, key: ServiceKey) -> None:
        waiting = self._waiting.get(item)
        held = self._held.get(item)
        if held is not None and held[0] == key:
            if waiting:
                heir = min(waiting)
                self._held[item] = (heir, waiting.pop(heir))
            else:
                del self._held[item]
        elif waiting:
            waiting.pop(key, None)
        if waiting is not None and not waiting:
            del self._waiting[item]


def merge(changes: Changes, later: Changes) -> None:
    """Adds `later` to `changes`, as one; what comes back to where it was is left out."""
    for item, change in later.items():
        old = changes[item].old if item in changes else change.old
        if old == change.new:
            changes.pop(item, None)
        else:
            changes[item] = Change(old, change.new)


def whole(items: Iterable[tuple[Item, str]], base: str, family: Family = IPV4) -> str:
    """The nft commands that make the table hold exactly this, whatever it held: one transaction, no gap in it.

    `base` must provide for all `sizes` of the items.
    """
    changes = {item: Change(None, value) for item, value in items}
    where = f"{family.nft} {TABLE}"
    return f"table {where}\ndelete table {where}\n{base}{commands(changes, family)}"


def sizes(items: Iterable[Item]) -> set[int]:
    """The endpoint counts that these items need picking chains for."""
    return {int(item[1]) for item in items if item[0] == PICK}


def commands(changes: Mapping[Item, Change], family: Family = IPV4, table: str = TABLE) -> str:
    """The nft commands that bring these changes about, in an order that one transaction accepts: what is referred to is
    made before, and taken away after, what refers to it."""
    lines: list[str] = []
    where = f"{family.nft} {table}"
    chains = {item[1]: change for item, change in changes.items() if item[0] == CHAIN}
    sets = {item[1]: change for item, change in changes.items() if item[0] == SET}
    lines += [f"add set {where} {name} {{ {c.new} }}" for name, c in sets.items() if c.old is None]
    lines += [f"add chain {where} {name}" for name, c in chains.items() if c.old is None]
    lines += [f"flush chain {where} {name}" for name, c in chains.items() if c.old is not None and c.new is not None]
    for name, change in chains.items():
        lines += [f"add rule {where} {name} {rule}" for rule in (change.new or "").split("\n") if rule]
    lines += _elements(changes, where)
    lines += [f"flush chain {where} {name}" for name, c in chains.items() if c.new is None]
    lines += [f"delete chain {where} {name}" for name, c in chains.items() if c.new is None]
    lines += [f"delete set {where} {name}" for name, c in sets.items() if c.new is None]
    return "\n".join(lines) + "\n" if lines else ""


def _elements(changes: Mapping[Item, Change], where: str) -> Iterator[str]:
    gone: dict[str, list[str]] = {}
    fresh: dict[str, list[str]] = {}
    for (collection, key), change in changes.items():
        if collection in (CHAIN, SET, PICK):
            continue
        if change.old is not None:
            gone.setdefault(collection, []).append(key)
        if change.new is not None:
            fresh.setdefault(collection, []).append(f"{key} : {change.new}" if change.new else key)
    for verb, by_collection in (("delete", gone), ("add", fresh)):
        for collection, elements in by_collection.items():
            for start in range(0, len(elements), _ELEMENTS_PER_COMMAND):
                listed = ", ".join(elements[start : start + _ELEMENTS_PER_COMMAND])
                yield f"{verb} element {where} {collection} {{ {listed} }}"
