"""The kinds that are served now. Whoever depends on them subscribes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from tiphys.api.kind import Kind

Change = Callable[[Collection[Kind[Any]], Collection[Kind[Any]]], None]
"""(added, removed); a kind whose definition changed is in both."""


class ServedKinds:
    """Built-in kinds, which stay, and those of definitions, by the definition's name."""

    def __init__(self, built_in: Iterable[Kind[Any]]) -> None:
        self._built_in = tuple(built_in)
        self._custom: dict[str, tuple[Kind[Any], ...]] = {}
        self._subscribers: list[Change] = []

    def all(self) -> tuple[Kind[Any], ...]:
        """Every kind with a path of its own."""
        return (*self._built_in, *(kind for kinds in self._custom.values() for kind in kinds))

    def custom(self) -> Mapping[str, tuple[Kind[Any], ...]]:
        """The served versions of each definition."""
        return self._custom

    def set_custom(self, definition: str, kinds: Collection[Kind[Any]]) -> None:
        """These, and no others, are what a definition brings now."""
        before = self._custom.pop(definition, ())
        if kinds:
            self._custom[definition] = tuple(kinds)
        for subscriber in tuple(self._subscribers):
            subscriber(kinds, before)

    def subscribe(self, change: Change) -> Callable[[], None]:
        """Call on every change, on the loop; must not block. Returns how to stop."""
        self._subscribers.append(change)

        def stop() -> None:
            if change in self._subscribers:
                self._subscribers.remove(change)

        return stop
