"""The documents that are served, each built when first asked for and kept as bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from tiphys.api.kind import Kind
from tiphys.api.openapi.paths import Paths, as_v2
from tiphys.api.openapi.schemas import Definitions, Schema, definition_of, list_definition

_SECURITY = {"type": "apiKey", "name": "authorization", "in": "header", "description": "Bearer Token authentication"}


class Documents:
    """OpenAPI of a set of kinds. Custom kinds come and go: what was made of the others is kept."""

    def __init__(
        self, kinds: Iterable[Kind[Any]], body_kinds: Iterable[Kind[Any]] = (), version: str = "v1.36.2"
    ) -> None:
        self._kinds = list(kinds)
        self._made_of: dict[Kind[Any], Kind[Any]] = {kind: kind for kind in self._kinds}
        self._body_kinds = {(kind.group, kind.version, kind.kind): kind for kind in (*body_kinds, *self._kinds)}
        self._version = version
        self._made: dict[str, tuple[bytes, str]] = {}

    def set_kinds(self, kinds: Iterable[Kind[Any]]) -> None:
        """Other custom kinds, or new states of them. Built-in kinds must stay the same."""
        before, self._kinds = self._made_of, list(kinds)
        self._made_of = {kind: kind for kind in self._kinds}
        changed = [kind for kind in self._kinds if before.get(kind) is not kind]
        changed += [kind for kind in before if kind not in self._made_of]
        for kind in changed:
            for key in ("v2", "v2.pb", "v3", f"v3/{_root(kind)}", _own(kind, "v2"), _own(kind, "v2.pb")):
                self._made.pop(key, None)

    def v2_json(self) -> tuple[bytes, str]:
        """`/openapi/v2` as JSON, and its ETag (without quotes)."""
        return self._once("v2", self._swagger)

    def v2_protobuf(self) -> tuple[bytes, str]:
        """`/openapi/v2` as `application/com.github.proto-openapi.spec.v2@v1.0+protobuf`, and its ETag."""
        return self._once("v2.pb", self._gnostic)

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

    def _built_in(self) -> Schema:
        kinds = [kind for kind in self._kinds if kind.custom is None]
        definitions, paths = self._parts(kinds, "#/definitions/", v3=False)
        return {
            "swagger": "2.0",
            "info": {"title": "Kubernetes", "version": self._version},
            "paths": as_v2(paths),
            "definitions": definitions,
            "securityDefinitions": {"BearerToken": _SECURITY},
            "security": [{"BearerToken": []}],
        }

    def _custom(self) -> list[Kind[Any]]:
        return [kind for kind in self._kinds if kind.custom is not None]

    def _fragment(self, kind: Kind[Any]) -> Schema:
        """What a custom kind adds to the v2 document."""
        definitions, paths = self._parts([kind], "#/definitions/", v3=False)
        own = (definition_of(kind), list_definition(kind))
        return {"paths": as_v2(paths), "definitions": {name: definitions[name] for name in own}}

    def _swagger(self) -> bytes:
        """The built-in kinds' document with the custom kinds' bytes put into it."""
        body = self._once("v2 built-in", lambda: msgspec.json.encode(self._built_in()))[0]
        custom = self._custom()
        if not custom:
            return body
        paths, definitions = [], []
        for kind in custom:
            made = self._once(_own(kind, "v2"), lambda kind=kind: msgspec.json.encode(self._fragment(kind)))[0]  # type: ignore[misc]  # bound
            raw = msgspec.json.decode(made, type=_Fragment)
            paths.append(bytes(raw.paths)[1:-1])
            definitions.append(bytes(raw.definitions)[1:-1])
        at = body.index(b'"paths":{') + len(b'"paths":{')
        between = body.index(b'"definitions":{', at) + len(b'"definitions":{')
        parts = (body[:at], b",".join(paths), b",", body[at:between], b",".join(definitions), b",", body[between:])
        return b"".join(parts)

    def _gnostic(self) -> bytes:
        """In protobuf, parts of one message may follow each other: readers merge them."""
        from tiphys.api.openapi import gnostic

        def built_in() -> bytes:
            body = self._once("v2 built-in", lambda: msgspec.json.encode(self._built_in()))[0]
            return gnostic.encode(msgspec.json.decode(body))

        made = [self._once("v2.pb built-in", built_in)[0]]
        for kind in self._custom():
            fragment = self._once(_own(kind, "v2.pb"), lambda kind=kind: gnostic.encode_parts(self._fragment(kind)))  # type: ignore[misc]  # bound
            made.append(fragment[0])
        return b"".join(made)

    def _openapi(self, kinds: list[Kind[Any]]) -> Schema:
        schemas, paths = self._parts(kinds, "#/components/schemas/", v3=True)
        return {
            "openapi": "3.0.0",
            "info": {"title": "Kubernetes", "version": self._version},
            "paths": paths,
            "components": {"schemas": schemas, "securitySchemes": {"BearerToken": _SECURITY}},
        }


class _Fragment(msgspec.Struct):
    paths: msgspec.Raw
    definitions: msgspec.Raw


def _own(kind: Kind[Any], document: str) -> str:
    """Under which name a custom kind's part of a document is kept."""
    return f"{document}/{kind.api_version}/{kind.kind}"


def _root(kind: Kind[Any]) -> str:
    return f"apis/{kind.group}/{kind.version}" if kind.group else f"api/{kind.version}"
