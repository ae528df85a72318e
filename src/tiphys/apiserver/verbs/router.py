"""From a resolved request to its handler: one look-up in a table made from the kinds at start."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from tiphys.api.errors import NotFound
from tiphys.api.kind import Kind
from tiphys.api.warnings.versions import deprecation
from tiphys.apiserver.chain.exchange import Answer, Exchange, Handler, Reply
from tiphys.apiserver.request import RequestInfo
from tiphys.apiserver.verbs.context import Context
from tiphys.apiserver.verbs.resources import ResourceHandlers, ScaleHandlers, not_allowed
from tiphys.apiserver.verbs.watching import WatchHandler

Key = tuple[str, str, str, str, str]
"""(group, version, plural, subresource, verb)"""

_IN_A_NAMESPACE = frozenset({"create", "deletecollection"})
"""Verbs that objects with namespaces have only below one: nothing deletes the pods of all namespaces at once."""


def not_found() -> Answer:
    """What upstream answers for a path that nobody knows."""
    return Answer(b"404 page not found\n", 404, "text/plain; charset=utf-8", (("X-Content-Type-Options", "nosniff"),))


class Router:
    """Handlers by what the request is. Later kinds (custom resources) are added and removed while running."""

    def __init__(self, context: Context, kinds: Collection[Kind[Any]]) -> None:
        self._context = context
        self._table: dict[Key, Handler] = {}
        self._known: set[tuple[str, str, str, str]] = set()
        self._namespaced: set[tuple[str, str, str]] = set()
        self._plain: dict[str, Handler] = {}
        self._prefixes: list[tuple[str, Handler]] = []
        self._get_only: set[str] = set()
        self._own_groups = {kind.group for kind in kinds}
        for kind in kinds:
            if kind.stored:
                self.add_kind(kind)

    def add(self, kind: Kind[Any], subresource: str, verb: str, handler: Handler) -> None:
        warning = deprecation(kind)
        if warning:
            handler = _warning(handler, warning)
        self._table[kind.group, kind.version, kind.plural, subresource, verb] = handler
        self._known.add((kind.group, kind.version, kind.plural, subresource))
        if kind.namespaced:
            self._namespaced.add((kind.group, kind.version, kind.plural))

    def add_kind(self, kind: Kind[Any]) -> None:
        """The verbs that the kind declares, its status and its scale; other subresources add themselves."""
        handlers = ResourceHandlers(self._context, kind)
        own: dict[str, Handler] = {
            "create": handlers.create, "get": handlers.get, "list": handlers.list, "update": handlers.update,
            "patch": handlers.patch, "delete": handlers.delete, "deletecollection": handlers.delete_collection,
            "watch": WatchHandler(self._context, kind).watch,
        }  # fmt: skip
        for verb in kind.verbs:
            self.add(kind, "", verb, own[verb])
        for subresource in kind.subresources:
            if subresource.name == "scale":
                scale = ScaleHandlers(self._context, kind)
                table: dict[str, Handler] = {"get": scale.get, "update": scale.update, "patch": scale.patch}
            elif subresource.name == "status":
                status = ResourceHandlers(self._context, kind, "status")
                table = {"get": status.get, "update": status.update, "patch": status.patch}
            else:
                continue
            for verb in subresource.verbs:
                self.add(kind, subresource.name, verb, table[verb])

    def remove_kind(self, kind: Kind[Any]) -> None:
        """Nothing of the kind is served any more."""
        place = (kind.group, kind.version, kind.plural)
        self._table = {key: handler for key, handler in self._table.items() if key[:3] != place}
        self._known = {key for key in self._known if key[:3] != place}
        self._namespaced.discard(place)

    def add_exact(self, path: str, handler: Handler, *, get_only: bool = False) -> None:
        """A path that is no resource."""
        self._plain[path] = handler
        if get_only:
            self._get_only.add(path)

    def remove_exact(self, path: str) -> None:
        self._plain.pop(path, None)
        self._get_only.discard(path)

    def add_below(self, prefix: str, handler: Handler) -> None:
        """Everything below `prefix`, which ends in `/`; the longest prefix wins."""
        self._prefixes.append((prefix, handler))
        self._prefixes.sort(key=lambda item: -len(item[0]))

    def _is_namespaced(self, info: RequestInfo) -> bool:
        return (info.group, info.version, info.resource) in self._namespaced

    @property
    def paths(self) -> list[str]:
        return sorted(self._plain)

    def find(self, info: RequestInfo) -> Handler:
        """Always a handler: unknown paths get one that says so."""
        if info.is_resource:
            if info.namespace:
                if not self._is_namespaced(info) and (info.resource != "namespaces" or info.name != info.namespace):
                    # Rights in a namespace were looked at, which say nothing of what is in none.
                    return self._absent(info.group)
            elif info.name and self._is_namespaced(info) and "//" not in info.path:
                return self._absent(info.group)
            elif info.verb in _IN_A_NAMESPACE and self._is_namespaced(info):
                return _not_allowed
            if info.path[:2] == "//":
                return _missing
            handler = self._table.get((info.group, info.version, info.resource, info.subresource, info.verb))
            if handler is not None:
                return handler
            if (info.group, info.version, info.resource, info.subresource) in self._known:
                return _not_allowed
            return self._absent(info.group)
        handler = self._plain.get(info.path)
        if handler is not None:
            return _not_allowed if info.verb != "get" and info.path in self._get_only else handler
        for prefix, candidate in self._prefixes:
            if info.path.startswith(prefix):
                return candidate
        area, _, group = info.path.strip("/").partition("/")
        return self._absent("" if area == "api" else group.partition("/")[0]) if area in ("api", "apis") else _missing

    def _absent(self, group: str) -> Handler:
        """A Status where the group is one of ours, a plain page elsewhere, as upstream."""
        return _unknown if group in self._own_groups else _missing


def _warning(handler: Handler, text: str) -> Handler:
    async def warn(exchange: Exchange) -> Reply:
        exchange.warnings.append(text)
        return await handler(exchange)

    return warn


async def _missing(_exchange: Exchange) -> Reply:
    return not_found()


async def _unknown(_exchange: Exchange) -> Reply:
    raise NotFound("the server could not find the requested resource")


async def _not_allowed(_exchange: Exchange) -> Reply:
    raise not_allowed()
