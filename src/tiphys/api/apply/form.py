"""How objects of a kind are tracked: how they are walked, what their paths reset, and how other versions see them.

Source: staging/src/k8s.io/apimachinery/pkg/util/managedfields (typeconverter, versionconverter), the GetResetFields of
pkg/registry/*/*/strategy.go.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import msgspec

from tiphys.api.apply.fieldset import Fields, without
from tiphys.api.apply.resets import USUAL, Resets
from tiphys.api.apply.typed import Difference, Node, compare, root
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Struct, encode_hook

Json = dict[str, Any]


class View(msgspec.Struct, frozen=True):
    """Another version of a kind."""

    node: Node
    convert: Callable[[Json], Json]
    """Plain JSON of this version to that one; the argument stays."""
    back: Callable[[Json], Json]
    """The reverse."""


Views = Callable[[str], View | None]


class Form:
    """What `update_managed` and `apply` know of a kind."""

    __slots__ = ("_only_status", "_resets", "_views", "api_version", "empty", "node")

    def __init__(
        self,
        node: Node,
        api_version: str,
        empty: Json,
        *,
        resets: Resets = USUAL,
        only_status: bool = False,
        views: Views | None = None,
    ) -> None:
        """`empty`: what an object without anything is. `only_status`: through `/status`, nothing else is owned.
        `views`: the kind's other versions, by apiVersion; None for those that do not exist."""
        self.node, self.api_version, self.empty = node, api_version, empty
        self._resets = resets
        self._only_status = only_status
        self._views = views

    @classmethod
    def of_type(
        cls, schema: type[Resource], api_version: str, views: Views | None = None, resets: Resets = USUAL
    ) -> Form:
        """Of a built-in kind."""
        return cls(root(schema), api_version, empty_json(schema), views=views, resets=resets)

    @classmethod
    def of_custom(cls, node: Node, api_version: str, *, has_status: bool, views: Views | None = None) -> Form:
        """Of a custom kind: without a status path, the status is a field as all others."""
        resets: Resets = {"": (("status",),)} if has_status else {"": ()}
        return cls(node, api_version, {"metadata": {}}, resets=resets, only_status=True, views=views)

    def owned(self, fields: Fields | None, subresource: str) -> Fields | None:
        """The fields without what this path resets."""
        if self._only_status and subresource == "status":
            found = (fields or {}).get("f:status")
            return None if found is None else {"f:status": found}
        return without(fields, *self._resets.get(subresource, self._resets.get("", ())))

    def kept(self, found: Difference, subresource: str) -> Difference:
        """A difference without what this path resets."""
        removed, modified, added = found
        return self.owned(removed, subresource), self.owned(modified, subresource), self.owned(added, subresource)

    def compared_in(self, version: str, old: Json | None, new: Json, subresource: str) -> Difference | None:
        """How two objects of this version differ in another one; None where there is no such version."""
        view = self.view(version)
        if view is None:
            return None
        before = self.empty if old is None else view.convert(old)
        return self.kept(compare(view.node, before, view.convert(new)), subresource)

    def view(self, version: str) -> View | None:
        return None if self._views is None else self._views(version)


@cache
def empty_json(schema: type[Struct]) -> Json:
    """What Go writes for an object without anything: only fields beyond these count as set."""
    value: Json = msgspec.to_builtins(schema(), enc_hook=encode_hook)
    value["metadata"].pop("managedFields", None)
    return value
