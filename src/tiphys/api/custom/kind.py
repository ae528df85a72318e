"""From a definition to `Kind`s: one for every served version.

Source: apiextensions-apiserver/pkg/registry/customresource/{strategy,status_strategy,validator,etcd}.go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, cast

from tiphys.api.custom.columns import columns, finder
from tiphys.api.custom.definition import Definition, Version
from tiphys.api.custom.object import CustomObject
from tiphys.api.custom.schema import CustomSchema
from tiphys.api.errors import BadRequest, FieldError, InternalError, invalid
from tiphys.api.kind import Kind, ScalePaths, Subresource
from tiphys.api.kinds.apiextensions.customresourcedefinition import (
    CustomResourceDefinitionNames,
    CustomResourceSubresourceScale,
    SelectableField,
)
from tiphys.api.meta.schema import copy_of
from tiphys.api.names import by_priority

_INT32_MAX = 2**31 - 1
_STATUS = Subresource("status", ("get", "patch", "update"))
_SCALE = Subresource("scale", ("get", "patch", "update"), kind="Scale", group="autoscaling", version="v1")


def storage_name(group: str, plural: str) -> str:
    """Where objects are stored below /registry."""
    return f"{group}/{plural}"


def kinds_of(definition: Definition, names: CustomResourceDefinitionNames) -> dict[str, Kind[Any]]:
    """Kinds by version, served or not. `names` are the accepted ones."""
    spec = definition.spec
    schemas = {f"{spec.group}/{version.name}": CustomSchema(version.raw_schema) for version in spec.versions}
    storage = definition.storage_version
    stored = _kind_of(definition, storage, names, schemas, None)
    return {
        version.name: stored if version is storage else _kind_of(definition, version, names, schemas, stored)
        for version in spec.versions
    }


def _kind_of(
    definition: Definition,
    version: Version,
    names: CustomResourceDefinitionNames,
    schemas: Mapping[str, CustomSchema],
    stored_as: Kind[Any] | None,
) -> Kind[Any]:
    spec = definition.spec
    stated = version.subresources
    has_status = stated is not None and stated.status is not None
    scale = stated.scale if stated is not None else None
    schema = schemas[f"{spec.group}/{version.name}"]
    schema.api_version, schema.has_status, schema.siblings = f"{spec.group}/{version.name}", has_status, schemas
    checks = _Checks(schema.api_version, spec.names.kind, schema, scale)
    return Kind(
        group=spec.group,
        version=version.name,
        kind=names.kind or spec.names.kind,
        plural=names.plural or spec.names.plural,
        schema=cast("Any", CustomObject),  # stands for the struct that a built-in kind has
        namespaced=spec.scope == "Namespaced",
        singular=names.singular,
        short_names=tuple(names.short_names),
        categories=tuple(names.categories),
        list_kind_name=names.list_kind or spec.names.list_kind,
        subresources=(*([_STATUS] if has_status else ()), *([_SCALE] if scale is not None else ())),
        scale=None if scale is None else _scale_paths(scale),
        default=schema.default,
        validate=checks.errors,
        prepare=_prepare_with_status if has_status else _prepare,
        prepare_status=_prepare_status,
        validate_status=checks.status_errors,
        generation=True,
        fields=_fields(version.selectable_fields),
        columns=columns(version.additional_printer_columns),
        storage_name=storage_name(spec.group, spec.names.plural),
        stored_as=stored_as,
        allow_unconditional_update=False,
        custom=schema,
        deprecation=_deprecation(definition, version),
    )


def _prepare(_new: CustomObject, _old: CustomObject | None) -> None:
    return None


def _prepare_with_status(new: CustomObject, old: CustomObject | None) -> None:
    """The status has a path of its own."""
    if old is not None and "status" in old.content:
        new.content["status"] = old.content["status"]
    else:
        new.content.pop("status", None)


def _prepare_status(new: CustomObject, old: CustomObject) -> None:
    """Only the status is taken over, and who manages it."""
    content = dict(old.content)
    if "status" in new.content:
        content["status"] = new.content["status"]
    else:
        content.pop("status", None)
    new.content = content
    kept = copy_of(old.metadata)
    for name in kept.__struct_fields__:
        if name not in ("managed_fields", "resource_version"):
            setattr(new.metadata, name, getattr(kept, name))


class _Checks:
    """Validation of one version's objects."""

    def __init__(
        self, api_version: str, kind: str, schema: CustomSchema, scale: CustomResourceSubresourceScale | None
    ) -> None:
        self._api_version, self._kind, self._schema, self._scale = api_version, kind, schema, scale

    def errors(self, new: CustomObject, old: CustomObject | None) -> Iterable[FieldError]:
        head = list(self._head(new))
        if head:
            return head
        return [*self._schema.errors(new, old), *self._scale_errors(new, spec=True)]

    def status_errors(self, new: CustomObject, old: CustomObject | None) -> Iterable[FieldError]:
        head = list(self._head(new))
        if head or old is None:
            return head
        return [*self._schema.status_errors(new, old), *self._scale_errors(new, spec=False)]

    def _head(self, obj: CustomObject) -> Iterator[FieldError]:
        if obj.kind != self._kind:
            yield invalid("kind", obj.kind, f"must be {self._kind}")
        if obj.api_version != self._api_version:
            yield invalid("apiVersion", obj.api_version, f"must be {self._api_version}")

    def _scale_errors(self, obj: CustomObject, *, spec: bool) -> Iterator[FieldError]:
        if self._scale is None:
            return
        if spec:
            yield from _count_errors(obj, self._scale.spec_replicas_path)
        yield from _count_errors(obj, self._scale.status_replicas_path)
        selector = self._scale.label_selector_path
        if selector:
            found = finder(selector)(obj)
            if found is not None and not isinstance(found, str):
                yield invalid(selector, "", f"{selector} accessor error: {_go(found)}, expected string")


def _count_errors(obj: CustomObject, path: str) -> Iterator[FieldError]:
    count = finder(path)(obj)
    if count is None:
        return
    if not isinstance(count, int) or isinstance(count, bool):
        yield invalid(path, 0, f"{path} accessor error: {_go(count)}, expected int64")
    elif count < 0:
        yield invalid(path, count, "should be a non-negative integer")
    elif count > _INT32_MAX:
        yield invalid(path, count, f"should be less than or equal to {_INT32_MAX}")


def _go(value: Any) -> str:
    names = {str: "string", float: "float64", bool: "bool", dict: "map[string]interface {}", list: "[]interface {}"}
    return f"{value} is of the type {names.get(type(value), 'int64')}"


def _scale_paths(scale: CustomResourceSubresourceScale) -> ScalePaths:
    wanted, current = finder(scale.spec_replicas_path), finder(scale.status_replicas_path)
    selector = finder(scale.label_selector_path) if scale.label_selector_path else None

    def get_replicas(obj: CustomObject) -> int:
        found = wanted(obj)
        if found is None:
            raise InternalError(f'Internal error occurred: the spec replicas field "{scale.spec_replicas_path}" '
                                "does not exist")  # fmt: skip
        return int(found)

    return ScalePaths(
        get_replicas=get_replicas,
        set_replicas=lambda obj, count: _put(obj.content, scale.spec_replicas_path, count),
        get_status_replicas=lambda obj: int(current(obj) or 0),
        get_selector=lambda obj: str(selector(obj) or "") if selector is not None else "",
        spec_path=tuple(scale.spec_replicas_path.strip(".").split(".")),
    )


def _put(content: dict[str, Any], path: str, value: Any) -> None:
    *parents, last = path.strip(".").split(".")
    for name in parents:
        content = content.setdefault(name, {})
        if not isinstance(content, dict):
            raise BadRequest(f"value cannot be set because {path} is not a map[string]interface{{}}")
    content[last] = value


def _fields(declared: list[SelectableField]) -> dict[str, Callable[[CustomObject], str]]:
    return {field.json_path.removeprefix("."): _text_at(field.json_path) for field in declared}


def _text_at(path: str) -> Callable[[CustomObject], str]:
    find = finder(path)

    def text(obj: CustomObject) -> str:
        value = find(obj)
        if value is None:
            return ""
        return ("true" if value else "false") if isinstance(value, bool) else str(value)

    return text


def _deprecation(definition: Definition, version: Version) -> str:
    """The warning that every request of a deprecated version gets."""
    if not version.deprecated:
        return ""
    if version.deprecation_warning is not None:
        return version.deprecation_warning
    spec = definition.spec
    text = f"{spec.group}/{version.name} {spec.names.kind} is deprecated"
    others = by_priority([v.name for v in spec.versions if v.served and not v.deprecated] + [version.name])
    newest = others[0]
    if newest == version.name:
        return text
    return f"{text}; use {spec.group}/{newest} {spec.names.kind}"
