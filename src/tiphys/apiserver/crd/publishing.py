"""What clients see of kinds that come and go: routes, discovery, OpenAPI."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Protocol

from tiphys.api.kind import Kind
from tiphys.apiserver.crd.served import ServedKinds
from tiphys.apiserver.discovery.handlers import Discovery
from tiphys.apiserver.verbs.router import Router


class Documents(Protocol):
    """OpenAPI, as far as it has to know."""

    def set_kinds(self, kinds: Collection[Kind[Any]]) -> None: ...


class Publisher:
    """Keeps a server's paths in step with its kinds. Discovery and routes change in the same turn of the loop."""

    def __init__(self, served: ServedKinds, router: Router, discovery: Discovery, openapi: Documents) -> None:
        self._served = served
        self._router = router
        self._discovery = discovery
        self._openapi = openapi
        self._paths = set(discovery.paths())
        self.stop = served.subscribe(self._changed)

    def _changed(self, added: Collection[Kind[Any]], removed: Collection[Kind[Any]]) -> None:
        for kind in removed:
            self._router.remove_kind(kind)
        for kind in added:
            self._router.add_kind(kind)
        kinds = self._served.all()
        self._discovery.set_kinds(kinds)
        self._openapi.set_kinds(kinds)
        paths = self._discovery.paths()
        for path in self._paths - paths.keys():
            self._router.remove_exact(path)
        for path in paths.keys() - self._paths:
            self._router.add_exact(path, paths[path])
        self._paths = set(paths)
