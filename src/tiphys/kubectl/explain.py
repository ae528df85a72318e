"""`kubectl explain`: what fields a kind has, from the server's OpenAPI v3.

Source: staging/src/k8s.io/kubectl/pkg/explain/v2.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from tiphys.kubectl.command import Command, Context
from tiphys.kubectl.flags import Flag, UsageError
from tiphys.kubectl.resources import ResourceType
from tiphys.kubectl.session import ServerError

Schema = Mapping[str, Any]
_WIDTH = 80


def run(context: Context) -> int:
    """`explain TYPE[.FIELD...]`"""
    if len(context.words) != 1:
        raise UsageError(
            'You must specify the type of resource to explain. Use "kubectl api-resources" for a complete list of '
            "supported resources."
        )
    word, *path = context.words[0].split(".")
    kind = context.resources.find(word)
    if context.options["api-version"]:
        kind = _in_version(context, kind, str(context.options["api-version"]))
    for line in explained(_document(context, kind), kind, path, recursive=context.options["recursive"]):
        print(line)
    return 0


def _in_version(context: Context, kind: ResourceType, api_version: str) -> ResourceType:
    for other in context.resources.all():
        if other.kind == kind.kind and other.api_version == api_version:
            return other
    raise UsageError(f'couldn\'t find resource for "{api_version}, Kind={kind.kind}"')


def _document(context: Context, kind: ResourceType) -> dict[str, Any]:
    head = f"/openapi/v3/apis/{kind.group}" if kind.group else "/openapi/v3/api"
    try:
        document: dict[str, Any] = context.session.get(f"{head}/{kind.version}")
    except ServerError as error:
        raise UsageError(f"couldn't find the schema of {kind.api_version}: {error}") from error
    return document


def explained(document: Schema, kind: ResourceType, path: list[str], *, recursive: bool) -> Iterator[str]:
    """The lines. Raises UsageError for a field that is not there."""
    known: Mapping[str, Schema] = document.get("components", {}).get("schemas", {})
    schema = _root(known, kind)
    if kind.group:
        yield f"GROUP:      {kind.group}"
    yield f"KIND:       {kind.kind}"
    yield f"VERSION:    {kind.version}"
    yield ""
    field, descriptions = schema, [schema.get("description", "")]
    for name in path:
        inner = _fields(known, field).get(name)
        if inner is None:
            raise UsageError(f'field "{name}" does not exist')
        field, descriptions = inner, _descriptions(known, inner)
    if path:
        yield f"FIELD: {path[-1]} <{_type(known, field)}>"
        yield from _enum(known, field, "")
        yield ""
        yield ""
    yield "DESCRIPTION:"
    texts = [text for text in descriptions if text] or ["<empty>"]
    for text in texts:
        yield from _wrapped(text, 4)
    yield "    "
    fields = _fields(known, field)
    if fields:
        yield "FIELDS:"
        yield from _listed(known, field, 2, recursive=recursive, above=(_referred(field),))
    yield ""


def _root(known: Mapping[str, Schema], kind: ResourceType) -> Schema:
    wanted = {"group": kind.group, "version": kind.version, "kind": kind.kind}
    for schema in known.values():
        if wanted in schema.get("x-kubernetes-group-version-kind", ()):
            return schema
    raise UsageError(f"GVR ({kind.api_version}, Resource={kind.plural}) not found in OpenAPI schema")


def _target(schema: Schema) -> str:
    """The name of the schema that is referred to, or nothing."""
    reference = schema.get("$ref") or next((part["$ref"] for part in schema.get("allOf") or () if "$ref" in part), "")
    return str(reference).rpartition("/")[2]


def _referred(schema: Schema) -> str:
    """The name of the schema that a field, or what it is a list or a map of, refers to."""
    while not (name := _target(schema)):
        inner = schema.get("items") or schema.get("additionalProperties")
        if not isinstance(inner, dict):
            return ""
        schema = inner
    return name


def _inside(known: Mapping[str, Schema], schema: Schema) -> Schema:
    """What lists and maps are made of, and references stand for."""
    while True:
        if name := _target(schema):
            schema = known.get(name, {})
        elif isinstance(schema.get("items"), dict):
            schema = schema["items"]
        elif isinstance(schema.get("additionalProperties"), dict):
            schema = schema["additionalProperties"]
        else:
            return schema


def _fields(known: Mapping[str, Schema], schema: Schema) -> Mapping[str, Schema]:
    found: Mapping[str, Schema] = _inside(known, schema).get("properties") or {}
    return found


def _descriptions(known: Mapping[str, Schema], schema: Schema) -> list[str]:
    """The field's own, and that of its type."""
    own, inner = schema.get("description", ""), _inside(known, schema).get("description", "")
    return [own] if own == inner else [own, inner]


def _type(known: Mapping[str, Schema], schema: Schema) -> str:
    if name := _target(schema):
        inner = known.get(name, {})
        return name.rpartition(".")[2] if inner.get("type") in (None, "object", "array") else str(inner["type"])
    if schema.get("type") == "array":
        return f"[]{_type(known, schema.get('items') or {})}"
    if isinstance(schema.get("additionalProperties"), dict):
        return f"map[string]{_type(known, schema['additionalProperties'])}"
    return str(schema.get("type") or "Object")


def _enum(known: Mapping[str, Schema], schema: Schema, indent: str) -> Iterator[str]:
    values = schema.get("enum") or _inside(known, schema).get("enum")
    if values:
        yield f"{indent}enum: {', '.join(str(value) for value in values[:4])}{', ....' if len(values) > 4 else ''}"


def _listed(
    known: Mapping[str, Schema], schema: Schema, indent: int, *, recursive: bool, above: tuple[str, ...]
) -> Iterator[str]:
    required = _inside(known, schema).get("required") or ()
    for name, field in sorted(_fields(known, schema).items()):
        mark = " -required-" if name in required else ""
        yield f"{' ' * indent}{name}\t<{_type(known, field)}>{mark}"
        if not recursive:
            yield from _enum(known, field, " " * (indent + 2))
            for text in _descriptions(known, field)[:1]:
                yield from _wrapped(text or "<no description>", indent + 2)
            yield ""
            continue
        inner = _referred(field)
        if inner and inner in above:
            continue  # a schema within itself
        yield from _listed(known, field, indent + 2, recursive=True, above=(*above, inner))


def _wrapped(text: str, indent: int) -> Iterator[str]:
    for paragraph in text.splitlines() or [""]:
        yield from textwrap.wrap(paragraph, _WIDTH, initial_indent=" " * indent, subsequent_indent=" " * indent) or [""]


COMMAND = Command(
    usage="TYPE[.FIELD...] [--recursive] [--api-version=VERSION]",
    help="Say what fields a kind has, and what they mean.",
    run=run,
    flags=(
        Flag("recursive", "the names of all fields, within each other", kind="bool"),
        Flag("api-version", "explain the kind in this version"),
        Flag("output", "plaintext", short="o", default="plaintext"),
    ),
    examples="explain pods\nexplain deployment.spec.strategy\nexplain cronjobs --recursive",
)
