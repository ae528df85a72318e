"""The documents that are served, each built when first asked for and kept as bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from tiphys.api.kind import Kind
from tiphys.api.openapi.paths import Paths, as_v2
from tiphys.api.openapi.schemas import Definitions, Schema

_SECURITY = {"type": "apiKey", "name": "authorization", "in": "header", "description": "Bearer Token authentication"}


class Documents:
    """OpenAPI of a set of kinds. Make a new one when the kinds change."""

    def __init__(
        self, kinds: Iterable[Kind[Any]], body_kinds: Iterable[Kind[Any]] = (), version: str = "v1.36.2"
    ) -> None:
        self._kinds = list(kinds)
        self._body_kinds = {(kind.group, kind.version, kind.kind): kind for kind in (*body_kinds, *self._kinds)}
        self._version = version
        self._made: dict[str, tuple[bytes, str]] = {}

    def v2_json(self) -> tuple[bytes, str]:
        """`/openapi/v2` as JSON, and its ETag (without quotes)."""
        return self._once("v2", lambda: msgspec.json.encode(self._swagger()))

    def v2_protobuf(self) -> tuple[bytes, str]:
        """`/openapi/v2` as `application/com.github.proto-openapi.spec.v2@v1.0+protobuf`, and its ETag."""
        from tiphys.api.openapi import gnostic

        return self._once("v2.pb", lambda: gnostic.encode(msgspec.json.decode(self.v2_json()[0])))

    def v3_index(self) -> tuple[bytes, str]:
        """`/openapi/v3`: where the document of each group and version is. Paths bear the document's hash."""

        def make() -> bytes:
            paths = {}
            for name in self.v3_names():
                found = self.v3(name)
                if found is not None:
                    paths[name] = {"serverRelativeURL": f"/openapi/v3/{name}?hash={found[1]}"}
            return msgspec.json.encode({"paths": paths})

        return self._once("v3", make)

    def v3_names(self) -> list[str]:
        """`api/v1`, `apis/apps/v1`, ..."""
        return list(dict.fromkeys(map(_root, self._kinds)))

    def v3(self, name: str) -> tuple[bytes, str] | None:
        """The document of one group and version (a name of `v3_names`), and its hash; None for an unknown one."""
        kinds = [kind for kind in self._kinds if _root(kind) == name]
        if not kinds:
            return None
        return self._once(f"v3/{name}", lambda: msgspec.json.encode(self._openapi(kinds)))

    def _once(self, key: str, make: Callable[[], bytes]) -> tuple[bytes, str]:
        found = self._made.get(key)
        if found is None:
            body = make()
            found = self._made[key] = (body, hashlib.sha512(body).hexdigest().upper())
        return found

    def _parts(self, kinds: list[Kind[Any]], prefix: str, *, v3: bool) -> tuple[dict[str, Schema], dict[str, Schema]]:
        definitions = Definitions(prefix, v3=v3)
        definitions.add_common(self._kinds)
        paths = Paths(definitions, self._body_kinds)
        for kind in kinds:
            definitions.add_kind(kind)
            paths.add(kind)
        return definitions.finished(), dict(sorted(paths.made.items()))

    def _swagger(self) -> Schema:
        definitions, paths = self._parts(self._kinds, "#/definitions/", v3=False)
        return {
            "swagger": "2.0",
            "info": {"title": "Kubernetes", "version": self._version},
            "paths": as_v2(paths),
            "definitions": definitions,
            "securityDefinitions": {"BearerToken": _SECURITY},
            "security": [{"BearerToken": []}],
        }

    def _openapi(self, kinds: list[Kind[Any]]) -> Schema:
        schemas, paths = self._parts(kinds, "#/components/schemas/", v3=True)
        return {
            "openapi": "3.0.0",
            "info": {"title": "Kubernetes", "version": self._version},
            "paths": paths,
            "components": {"schemas": schemas, "securitySchemes": {"BearerToken": _SECURITY}},
        }


def _root(kind: Kind[Any]) -> str:
    return f"apis/{kind.group}/{kind.version}" if kind.group else f"api/{kind.version}"
