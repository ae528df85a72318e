"""Paths and operations of kinds. They are written once, in the v3 form, and turned into v2 where that is asked for.

Source: staging/src/k8s.io/apiserver/pkg/endpoints/installer.go, .../openapi/openapi.go (operation names).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tiphys.api.codec import MEDIA_TYPES
from tiphys.api.kind import Kind, Subresource
from tiphys.api.meta.types import DeleteOptions, Status
from tiphys.api.openapi.schemas import PATCH, Definitions, Schema, definition_name, list_definition
from tiphys.api.patch import MEDIA_TYPES as PATCH_TYPES

_STREAMS = ("application/json;stream=watch", "application/vnd.kubernetes.protobuf;stream=watch")

_QUERY: dict[str, tuple[str, str]] = {
    "allowWatchBookmarks": ("boolean", "Send BOOKMARK events while watching."),
    "continue": ("string", "Go on with a list where the last page ended."),
    "dryRun": ("string", "`All`: go through all stages, but keep nothing."),
    "fieldManager": ("string", "The name under which the fields of this request are owned."),
    "fieldSelector": ("string", "Only objects whose fields have these values."),
    "fieldValidation": ("string", "What unknown and duplicate fields do: Ignore, Warn or Strict."),
    "force": ("boolean", "Apply: take over fields that others own."),
    "gracePeriodSeconds": ("integer", "How long the object may take to end. Zero: at once."),
    "ignoreStoreReadErrorWithClusterBreakingPotential": ("boolean", "Delete even an object that can not be read."),
    "labelSelector": ("string", "Only objects with these labels."),
    "limit": ("integer", "The most objects in one page."),
    "orphanDependents": ("boolean", "Deprecated: use propagationPolicy."),
    "pretty": ("string", "`true`: indent the answer."),
    "propagationPolicy": ("string", "What becomes of dependents: Orphan, Background or Foreground."),
    "resourceVersion": ("string", "How recent the answer must be."),
    "resourceVersionMatch": ("string", "How resourceVersion is meant: Exact or NotOlderThan."),
    "sendInitialEvents": ("boolean", "Begin a watch with the objects there are."),
    "timeoutSeconds": ("integer", "How long the call may last."),
    "watch": ("boolean", "Changes instead of a list."),
}
_LIST = (
    "allowWatchBookmarks", "continue", "fieldSelector", "labelSelector", "limit", "resourceVersion",
    "resourceVersionMatch", "sendInitialEvents", "timeoutSeconds", "watch",
)  # fmt: skip
_DELETE = (
    "dryRun", "gracePeriodSeconds", "ignoreStoreReadErrorWithClusterBreakingPotential", "orphanDependents",
    "propagationPolicy",
)  # fmt: skip
_WRITE = ("dryRun", "fieldManager", "fieldValidation")
_SUBRESOURCE_VERBS = {
    "get": ("get", "read"),
    "update": ("put", "replace"),
    "patch": ("patch", "patch"),
    "create": ("post", "create"),
}
_TEXT = ("log",)
"""Subresources that answer something else than objects."""
_ACTIONS = {"read": "get", "list": "list", "create": "post", "replace": "put", "patch": "patch", "delete": "delete"}


def _query(names: Iterable[str]) -> list[Schema]:
    return [
        {
            "name": name,
            "in": "query",
            "description": _QUERY[name][1],
            "schema": {"type": _QUERY[name][0], "uniqueItems": True},
        }
        for name in names
    ]


def _in_path(name: str, description: str) -> Schema:
    return {
        "name": name,
        "in": "path",
        "description": description,
        "required": True,
        "schema": {"type": "string", "uniqueItems": True},
    }


class Paths:
    """Adds up the paths of kinds. `body_kinds` are those that travel through subresources."""

    def __init__(self, definitions: Definitions, body_kinds: Mapping[tuple[str, str, str], Kind[Any]]) -> None:
        self.made: dict[str, Schema] = {}
        self._definitions = definitions
        self._body_kinds = body_kinds

    def add(self, kind: Kind[Any]) -> None:
        """All paths of a kind."""
        one = self._definitions.name_of(kind)
        where = "{namespace}" if kind.namespaced else ""
        collection: Schema = {}
        if "list" in kind.verbs:
            collection["get"] = self._operation(kind, "list", query=_LIST, answer=list_definition(kind), stream=True)
        if "create" in kind.verbs:
            collection["post"] = self._operation(kind, "create", query=_WRITE, body=one, answer=one)
        if "deletecollection" in kind.verbs:
            collection["delete"] = self._operation(
                kind,
                "delete",
                query=(*_LIST[1:-1], *_DELETE),
                body=definition_name(DeleteOptions),
                answer=definition_name(Status),
                collection=True,
            )
        self._put(kind.path(where), kind, collection, named=False)
        if kind.namespaced and "list" in kind.verbs:
            everywhere = self._operation(
                kind, "list", answer=list_definition(kind), stream=True, suffix="ForAllNamespaces"
            )
            self.made[kind.path()] = {"get": everywhere, "parameters": _query(("pretty", *_LIST))}
        self._put(kind.path(where, "{name}"), kind, self._item(kind, one), named=True)
        for subresource in kind.subresources:
            path = kind.path(where, "{name}", subresource.name)
            self._put(path, kind, self._subresource(kind, subresource), named=True)

    def _put(self, path: str, kind: Kind[Any], operations: Schema, *, named: bool) -> None:
        if not operations:
            return
        shared = [_in_path("name", f"name of the {kind.kind}")] if named else []
        if kind.namespaced:
            shared.append(_in_path("namespace", "object name and auth scope, such as for teams and projects"))
        self.made[path] = {**operations, "parameters": shared + _query(("pretty",))}

    def _item(self, kind: Kind[Any], one: str) -> Schema:
        item: Schema = {}
        if "get" in kind.verbs:
            item["get"] = self._operation(kind, "read", answer=one)
        if "update" in kind.verbs:
            item["put"] = self._operation(kind, "replace", query=_WRITE, body=one, answer=one)
        if "delete" in kind.verbs:
            options = definition_name(DeleteOptions)
            item["delete"] = self._operation(
                kind, "delete", query=_DELETE, body=options, answer=definition_name(Status), optional_body=True
            )
        if "patch" in kind.verbs:
            item["patch"] = self._operation(kind, "patch", query=(*_WRITE, "force"), body=PATCH, answer=one)
        return item

    def _subresource(self, kind: Kind[Any], subresource: Subresource) -> Schema:
        travels: Kind[Any] | None = kind
        if subresource.kind and subresource.kind != kind.kind:
            group = subresource.group if subresource.version else kind.group
            version = subresource.version or kind.version
            travels = self._body_kinds.get((group, version, subresource.kind))
        name = subresource.name.capitalize()
        if travels is None or subresource.name in _TEXT:
            return self._connections(kind, subresource, name)
        one = self._definitions.name_of(travels)
        self._definitions.add_kind(travels)
        made: Schema = {}
        for verb, (method, action) in _SUBRESOURCE_VERBS.items():
            if verb in subresource.verbs:
                query = () if verb == "get" else (*_WRITE, "force") if verb == "patch" else _WRITE
                body = "" if verb == "get" else PATCH if verb == "patch" else one
                made[method] = self._operation(
                    kind, action, query=query, body=body, answer=one, suffix=name, about=travels
                )
        return made

    def _connections(self, kind: Kind[Any], subresource: Subresource, name: str) -> Schema:
        """Streams and proxies: what travels is not the API's."""
        made = {}
        for verb in subresource.verbs:
            method = {"get": "get", "create": "post", "update": "put", "patch": "patch", "delete": "delete"}.get(verb)
            if method:
                action = "read" if subresource.name in _TEXT else "connect"
                made[method] = self._operation(kind, action, method=method.capitalize(), suffix=name)
                del made[method]["x-kubernetes-group-version-kind"]
        return made

    def _operation(
        self,
        kind: Kind[Any],
        action: str,
        *,
        query: Iterable[str] = (),
        body: str = "",
        answer: str = "",
        stream: bool = False,
        suffix: str = "",
        method: str = "",
        collection: bool = False,
        optional_body: bool = False,
        about: Kind[Any] | None = None,
    ) -> Schema:
        subject = about or kind
        scope = ("Collection" if collection else "") + (
            "Namespaced" if kind.namespaced and suffix != "ForAllNamespaces" else ""
        )
        group = "".join(part.capitalize() for part in _group_words(kind)) + kind.version.capitalize()
        if action == "connect":
            group += method
        shown = self._definitions.ref(answer) if answer else {"type": "string"}
        types = (*MEDIA_TYPES, *_STREAMS) if stream else MEDIA_TYPES if answer else ("*/*",)
        ok = {"description": "OK", "content": {media: {"schema": shown} for media in types}}
        responses = {"200": ok, "401": {"description": "Unauthorized"}}
        if action in ("create", "replace", "patch"):
            responses["201"] = {**ok, "description": "Created"}
        if action in ("create", "delete") and not collection:
            responses["202"] = {**ok, "description": "Accepted"}
        operation: Schema = {
            "tags": [_tag(kind)],
            "description": f"{action} {kind.kind}{' ' + suffix if suffix else ''}",
            "operationId": f"{action}{group}{scope}{kind.kind}{suffix}",
            **({"parameters": _query(query)} if query else {}),
            "responses": dict(sorted(responses.items())),
            "x-kubernetes-action": "deletecollection" if collection else _ACTIONS.get(action, "connect"),
            "x-kubernetes-group-version-kind": {
                "group": subject.group,
                "kind": subject.kind,
                "version": subject.version,
            },
        }
        if body:
            accepted = list(PATCH_TYPES) if body == PATCH else ["*/*"]
            operation["requestBody"] = {"content": {m: {"schema": self._definitions.ref(body)} for m in accepted}}
            if not collection and not optional_body:
                operation["requestBody"]["required"] = True
        return operation


def _group_words(kind: Kind[Any]) -> list[str]:
    return (kind.group or "core").removesuffix(".k8s.io").split(".")


def _tag(kind: Kind[Any]) -> str:
    first, *rest = _group_words(kind)
    return f"{first}{''.join(word.capitalize() for word in rest)}_{kind.version}"


def as_v2(paths: Mapping[str, Schema]) -> dict[str, Schema]:
    """Paths in the v2 form: bodies are parameters, media types belong to operations."""
    return {path: _item_v2(item) for path, item in paths.items()}


def _item_v2(item: Schema) -> Schema:
    made: Schema = {}
    for key, value in item.items():
        made[key] = [_parameter_v2(p) for p in value] if key == "parameters" else _operation_v2(value)
    return made


def _parameter_v2(parameter: Schema) -> Schema:
    flat = {**parameter, **parameter["schema"]}
    del flat["schema"]
    return flat


def _operation_v2(operation: Schema) -> Schema:
    made = {key: value for key, value in operation.items() if key != "requestBody"}
    made["parameters"] = [_parameter_v2(p) for p in operation.get("parameters", ())]
    made["consumes"], made["produces"], made["schemes"] = ["*/*"], [], ["https"]
    body = operation.get("requestBody")
    if body is not None:
        media, first = next(iter(body["content"].items()))
        made["consumes"] = list(body["content"]) if media != "*/*" else ["*/*"]
        stated = {"name": "body", "in": "body", "schema": first["schema"]}
        made["parameters"].insert(0, {**stated, "required": True} if body.get("required") else stated)
    made["responses"] = {}
    for code, response in operation["responses"].items():
        content = response.get("content")
        made["responses"][code] = {"description": response["description"]}
        if content:
            made["produces"] = list(content)
            made["responses"][code]["schema"] = next(iter(content.values()))["schema"]
    return made
