"""Embedded objects (`x-kubernetes-embedded-resource`): their kind, apiVersion and metadata are the API's.

Source: apiextensions-apiserver/pkg/apiserver/schema/objectmeta/*.go.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from tiphys.api import codec, codec_strict, names
from tiphys.api.errors import BadRequest, FieldError, invalid, required
from tiphys.api.meta.types import ObjectMeta
from tiphys.api.meta.validation import validate_meta
from tiphys.api.structural.schema import Structural


def coerce(
    value: Any, schema: Structural | None, path: str = "", unknown: list[str] | None = None
) -> FieldError | None:
    """Make embedded metadata what the API knows, in place; the first thing that cannot be is told.

    Unknown fields of metadata go to `unknown`.
    """
    if schema is None:
        return None
    if type(value) is dict:
        if schema.embedded:
            problem = _coerce_head(value, path, unknown)
            if problem is not None:
                return problem
        for key, item in value.items():
            if schema.embedded and key in ("apiVersion", "kind", "metadata"):
                continue
            problem = coerce(item, schema.child(key), _below(path, key), unknown)
            if problem is not None:
                return problem
    elif type(value) is list:
        for index, item in enumerate(value):
            problem = coerce(item, schema.items, f"{path}[{index}]", unknown)
            if problem is not None:
                return problem
    return None


def _coerce_head(value: dict[str, Any], path: str, unknown: list[str] | None) -> FieldError | None:
    for key in ("apiVersion", "kind"):
        if key in value and not isinstance(value[key], str):
            return invalid(_below(path, key), value[key], "must be a string")
    if "metadata" not in value:
        return None
    where = _below(path, "metadata")
    try:
        meta, extra = read_metadata(value["metadata"])
    except BadRequest as problem:
        return invalid(where, value["metadata"], problem.message)
    if unknown is not None:
        unknown.extend(f"{where}.{name}" for name in extra)
    value["metadata"] = codec.to_json(meta)
    return None


def read_metadata(value: Any) -> tuple[ObjectMeta, list[str]]:
    """Metadata of JSON, and the paths of the fields in it that are unknown. Raises BadRequest."""
    meta = codec.from_json(ObjectMeta, value)
    extra = codec_strict.unknown_fields(ObjectMeta, value) if isinstance(value, dict) else []
    return meta, [text.removeprefix('unknown field "').removesuffix('"') for text in extra]


def embedded_errors(value: Any, schema: Structural | None, path: str = "") -> Iterator[FieldError]:
    """Every complaint about the heads of embedded objects."""
    if schema is None:
        return
    if type(value) is dict:
        if schema.embedded:
            yield from _head_errors(value, path)
        for key, item in value.items():
            declared = schema.properties.get(key)
            if declared is not None:
                yield from embedded_errors(item, declared, _below(path, key))
            elif schema.additional_schema is not None:
                yield from embedded_errors(item, schema.additional_schema, f"{path}[{key}]")
    elif type(value) is list:
        for index, item in enumerate(value):
            yield from embedded_errors(item, schema.items, f"{path}[{index}]")


def _head_errors(value: dict[str, Any], path: str) -> Iterator[FieldError]:
    for key in ("apiVersion", "kind"):
        where = _below(path, key)
        if key not in value:
            yield required(where)
            continue
        stated = value[key]
        if not isinstance(stated, str):
            yield invalid(where, stated, "must be a string")
        elif not stated:
            yield invalid(where, stated, "must not be empty")
        elif key == "apiVersion" and stated.count("/") > 1:
            yield invalid(where, stated, f"unexpected GroupVersion string: {stated}")
        elif key == "kind" and (problems := names.dns_label_1035(stated.lower())):
            text = "may have mixed case, but should otherwise match: " + ",".join(problems)
            yield invalid(where, stated, text)
    if "metadata" in value:
        yield from _metadata_errors(value["metadata"], _below(path, "metadata"))


def _metadata_errors(value: Any, where: str) -> Iterator[FieldError]:
    try:
        meta, _ = read_metadata(value)
    except BadRequest as problem:
        yield invalid(where, value, problem.message)
        return
    meta.name = meta.name or "fakename"
    shape: Any = SimpleNamespace(
        group="", custom=True, namespaced=bool(meta.namespace), name_rule=names.path_segment_name
    )
    for error in validate_meta(shape, meta, None):
        yield FieldError(error.reason, where + error.path.removeprefix("metadata"), error.message)


def _below(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key
