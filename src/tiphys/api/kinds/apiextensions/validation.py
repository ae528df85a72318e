"""Which definitions are accepted.

What all versions have in common (schema, subresources, columns, selectable fields) is told under `spec`, as upstream's
internal form has it; otherwise under the version.
Source: apiextensions-apiserver/pkg/apis/apiextensions/validation/validation.go.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tiphys.api import codec, names
from tiphys.api.errors import FieldError, duplicate, forbidden, invalid, not_supported, required, too_many
from tiphys.api.kinds.admissionregistration.webhook_rules import validate_client
from tiphys.api.kinds.apiextensions.approval import ANNOTATION, approval_of, is_protected
from tiphys.api.meta.validation import immutable
from tiphys.api.structural.schema import Raw, Structural, every_schema

if TYPE_CHECKING:
    from tiphys.api.kinds.apiextensions.customresourcedefinition import (
        CustomResourceConversion,
        CustomResourceDefinition,
        CustomResourceDefinitionNames,
        CustomResourceDefinitionVersion,
        CustomResourceSubresources,
    )

_ROOT = "openAPIV3Schema"
_COLUMN_TYPES = ("boolean", "date", "integer", "number", "string")
_COLUMN_FORMATS = (
    "byte", "date", "date-time", "double", "float", "int32", "int64", "password",
)  # fmt: skip
_REVIEWS = ("v1", "v1beta1")
_MAX_SELECTABLE = 8
_MAX_WARNING = 256
_WITH_STATUS = {
    "description": "Description", "type": "Type", "format": "Format", "title": "Title", "maximum": "Maximum",
    "exclusiveMaximum": "ExclusiveMaximum", "minimum": "Minimum", "exclusiveMinimum": "ExclusiveMinimum",
    "maxLength": "MaxLength", "minLength": "MinLength", "pattern": "Pattern", "maxItems": "MaxItems",
    "minItems": "MinItems", "uniqueItems": "UniqueItems", "multipleOf": "MultipleOf", "required": "Required",
    "items": "Items", "properties": "Properties", "externalDocs": "ExternalDocs", "example": "Example",
    "x-kubernetes-preserve-unknown-fields": "XPreserveUnknownFields", "x-kubernetes-validations": "XValidations",
}  # fmt: skip
"""What may stand at the root of a schema with a status of its own, and how Go names it."""


def validate(new: CustomResourceDefinition, old: CustomResourceDefinition | None) -> Iterator[FieldError]:
    """All errors of a definition, but for its metadata; the name is a matter of the spec."""
    spec = new.spec
    if old is None and new.metadata.name != f"{spec.names.plural}.{spec.group}":
        text = 'must be spec.names.plural+"."+spec.group'
        yield invalid("metadata.name", new.metadata.name, text)
    yield from _spec(new, old)
    yield from _stored_versions(new)
    yield from _approval(new, old)
    if spec.preserve_unknown_fields and not (old is not None and old.spec.preserve_unknown_fields):
        text = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead"
        yield invalid("spec.preserveUnknownFields", True, text)
    if old is not None:
        established = any(c.type == "Established" and c.status == "True" for c in old.status.conditions)
        if established:
            yield from immutable("spec.scope", spec.scope, old.spec.scope)
            yield from immutable("spec.names.kind", spec.names.kind, old.spec.names.kind)
        yield from immutable("spec.group", spec.group, old.spec.group)
        yield from immutable("spec.names.plural", spec.names.plural, old.spec.names.plural)


def validate_status(new: CustomResourceDefinition, _old: CustomResourceDefinition | None) -> Iterator[FieldError]:
    yield from _names(new.status.accepted_names, "status.acceptedNames")


def warnings(new: CustomResourceDefinition, old: CustomResourceDefinition | None) -> Iterator[str]:
    """Formats that nobody knows, where they are new."""
    known = set() if old is None else set(_unknown_formats(old))
    for name in dict.fromkeys(_unknown_formats(new)):
        if name not in known:
            yield f'unrecognized format "{name}"'


def _unknown_formats(definition: CustomResourceDefinition) -> Iterator[str]:
    from tiphys.api.structural.formats import is_recognised

    for version in definition.spec.versions:
        for schema in every_schema(_schema_of(version)):
            if schema.get("format") and not is_recognised(schema.get("type") or "", schema["format"]):
                yield schema["format"]


def _spec(new: CustomResourceDefinition, old: CustomResourceDefinition | None) -> Iterator[FieldError]:
    spec = new.spec
    if not spec.group:
        yield required("spec.group")
    elif problems := names.dns_subdomain(spec.group):
        yield invalid("spec.group", spec.group, ",".join(problems))
    elif "." not in spec.group:
        yield invalid("spec.group", spec.group, "should be a domain with at least one dot")
    if not spec.scope:
        yield required("spec.scope")
    elif spec.scope not in ("Cluster", "Namespaced"):
        yield not_supported("spec.scope", spec.scope, ("Cluster", "Namespaced"))
    schemas = [_schema_of(version) for version in spec.versions]
    for index, schema in enumerate(schemas):
        if schema is None:
            yield required(f"spec.versions[{index}].schema.{_ROOT}")
    before = {} if old is None else {version.name: _schema_of(version) for version in old.spec.versions}
    yield from _versions(new, schemas, before)
    for name, value in (
        ("plural", spec.names.plural), ("singular", spec.names.singular), ("kind", spec.names.kind),
        ("listKind", spec.names.list_kind),
    ):  # fmt: skip
        if not value:
            yield required(f"spec.names.{name}")
    yield from _names(spec.names, "spec.names")
    yield from _conversion(spec.conversion, spec.preserve_unknown_fields)


def _versions(
    new: CustomResourceDefinition, schemas: list[Raw | None], before: dict[str, Raw | None]
) -> Iterator[FieldError]:
    versions = new.spec.versions
    for index, version in enumerate(versions):
        path = f"spec.versions[{index}]"
        if problems := names.dns_label_1035(version.name):
            yield invalid(f"{path}.name", version.name, ",".join(problems))
        yield from _deprecation(version, f"{path}.deprecationWarning")
    shown = codec.to_json(versions)
    if len({version.name for version in versions}) != len(versions):
        yield invalid("spec.versions", shown, "must contain unique version names")
    if sum(version.storage for version in versions) != 1:
        yield invalid("spec.versions", shown or None, "must have exactly one version marked as storage version")
    with_status = any(version.subresources and version.subresources.status for version in versions)
    for index, path in _places(schemas, "schema", "validation"):
        schema = schemas[index]
        version = versions[index]
        own = version.subresources is not None and version.subresources.status is not None
        if schema is not None and schema != before.get(version.name):
            yield from _schema(schema, path, own if path.startswith("spec.versions") else with_status)
    for index, path in _places([version.subresources for version in versions], "subresources"):
        yield from _subresources(versions[index].subresources, path)
    for index, path in _places(
        [version.additional_printer_columns for version in versions], "additionalPrinterColumns"
    ):
        for at, column in enumerate(versions[index].additional_printer_columns):
            yield from _column(column, f"{path}[{at}]")
    for index, path in _places([version.selectable_fields for version in versions], "selectableFields"):
        yield from _selectable(versions[index], schemas[index], path)


def _places(values: list[Any], name: str, common: str = "") -> Iterator[tuple[int, str]]:
    """(index, path) of what is to be looked at: once under `spec` where all versions say the same."""
    if values and values[0] and all(value == values[0] for value in values):
        yield 0, f"spec.{common or name}"
    else:
        for index, value in enumerate(values):
            if value:
                yield index, f"spec.versions[{index}].{name}"


def _schema_of(version: CustomResourceDefinitionVersion) -> Raw | None:
    if version.schema is None or version.schema.open_api_v3_schema is None:
        return None
    schema: Raw = codec.to_json(version.schema.open_api_v3_schema)
    return schema


def _schema(raw: Raw, path: str, with_status: bool) -> list[FieldError]:
    from tiphys.api.structural.checks import structural_errors
    from tiphys.api.structural.defaultchecks import default_errors
    from tiphys.api.structural.rulechecks import RuleChecks
    from tiphys.api.structural.usage import Place, use_errors

    root = f"{path}.{_ROOT}"
    found = list(_root(raw, path)) if with_status else []
    if raw.get("nullable"):
        found.append(forbidden(f"{root}.nullable", "nullable cannot be true at the root"))
    structural = structural_errors(raw, root)
    defaults = default_errors(Structural(raw), root) if not structural and _has(raw, "default") else []
    used = list(use_errors(raw, Place(root, is_root=True)))
    found += structural + defaults + used
    if not structural and not defaults and not used and _has(raw, "x-kubernetes-validations"):
        found += RuleChecks(raw, root).errors()
    return found


def _has(raw: Raw, key: str) -> bool:
    return any(schema.get(key) is not None for schema in every_schema(raw))


def _root(raw: Raw, path: str) -> Iterator[FieldError]:
    if raw.get("type") != "object":
        text = 'only "object" is allowed as the type at the root of the schema if the status subresource is enabled'
        yield invalid(f"{path}.{_ROOT}.type", raw.get("type") or "", text)
        return
    if any(value and key not in _WITH_STATUS for key, value in raw.items()):
        allowed = " ".join(_WITH_STATUS.values())
        text = f"only [{allowed}] fields are allowed at the root of the schema if the status subresource is enabled"
        yield invalid(f"{path}.{_ROOT}", raw, text)


def _deprecation(version: CustomResourceDefinitionVersion, path: str) -> Iterator[FieldError]:
    text = version.deprecation_warning
    if text is None:
        return
    if not version.deprecated:
        yield invalid(path, text, "can only be set for deprecated versions")
        return
    if len(text.encode()) > _MAX_WARNING:
        yield invalid(path, text, "must be <= 256 characters long")
    if not text:
        yield invalid(path, text, "must not be an empty string")
    at = next((index for index, letter in enumerate(text) if not letter.isprintable()), None)
    if at is not None:
        words = "must only contain printable UTF-8 characters; non-printable character found at index"
        yield invalid(path, text, f"{words} {at}")


def _names(stated: CustomResourceDefinitionNames, path: str) -> Iterator[FieldError]:
    for name, value in (("plural", stated.plural), ("singular", stated.singular)):
        if value and (problems := names.dns_label_1035(value)):
            yield invalid(f"{path}.{name}", value, ",".join(problems))
    for name, value in (("kind", stated.kind), ("listKind", stated.list_kind)):
        if value and (problems := names.dns_label_1035(value.lower())):
            text = "may have mixed case, but should otherwise match: " + ",".join(problems)
            yield invalid(f"{path}.{name}", value, text)
    for name, values in (("shortNames", stated.short_names), ("categories", stated.categories)):
        for index, value in enumerate(values):
            if problems := names.dns_label_1035(value):
                yield invalid(f"{path}.{name}[{index}]", value, ",".join(problems))
    if stated.kind and stated.kind == stated.list_kind:
        yield invalid(f"{path}.listKind", stated.list_kind, "kind and listKind may not be the same")


def _subresources(stated: CustomResourceSubresources | None, path: str) -> Iterator[FieldError]:
    scale = stated.scale if stated is not None else None
    if scale is None:
        return
    spec, status = f"{path}.scale.specReplicasPath", f"{path}.scale.statusReplicasPath"
    for where, value, below in ((spec, scale.spec_replicas_path, ".spec."),
                                (status, scale.status_replicas_path, ".status.")):  # fmt: skip
        if not value:
            yield required(where)
        elif value[0] != ".":
            yield invalid(where, value, "must be a simple json path starting with .")
        elif not value.startswith(below):
            yield invalid(where, value, f"should be a json path under {below.rstrip('.')}")
    selector = scale.label_selector_path
    if selector:
        where = f"{path}.scale.labelSelectorPath"
        if selector[0] != ".":
            yield invalid(where, selector, "must be a simple json path starting with .")
        elif not selector.startswith((".spec.", ".status.")):
            yield invalid(where, selector, "should be a json path under either .spec or .status")


def _column(column: Any, path: str) -> Iterator[FieldError]:
    if not column.name:
        yield required(f"{path}.name")
    one_of = f"must be one of {','.join(_COLUMN_TYPES)}"
    if not column.type:
        yield required(f"{path}.type", one_of)
    elif column.type not in _COLUMN_TYPES:
        yield invalid(f"{path}.type", column.type, one_of)
    if column.format and column.format not in _COLUMN_FORMATS:
        yield invalid(f"{path}.format", column.format, f"must be one of {','.join(_COLUMN_FORMATS)}")
    if not column.json_path:
        yield required(f"{path}.JSONPath")
    elif column.json_path[0] != ".":
        yield invalid(f"{path}.JSONPath", column.json_path, "must be a simple json path starting with .")


def _selectable(version: CustomResourceDefinitionVersion, schema: Raw | None, path: str) -> Iterator[FieldError]:
    from tiphys.api.structural.paths import BadPath, schema_at

    if schema is None:
        yield invalid(path, "", "may only be set when `version.schema.openAPIV3Schema` is not included")
        return
    structural = Structural(schema)
    seen = set()
    for index, field in enumerate(version.selectable_fields):
        where, stated = f"{path}[{index}].jsonPath", field.json_path
        if not stated:
            yield required(where)
            continue
        try:
            shown, found = schema_at(structural, stated, brackets=False)
        except BadPath as problem:
            yield invalid(where, stated, f"is an invalid path: {problem}")
            continue
        if shown.partition(".")[0] == "metadata":
            yield invalid(where, stated, "must not point to fields in metadata")
        if found is None or found.type not in ("string", "boolean", "integer"):
            text = "must point to a field of type string, boolean or integer. Enum string fields and strings with "
            yield invalid(where, stated, text + "formats are allowed.")
        if shown in seen:
            yield duplicate(where, stated)
        seen.add(shown)
    if len(seen) > _MAX_SELECTABLE:
        yield too_many(path, len(seen), _MAX_SELECTABLE)


def _conversion(conversion: CustomResourceConversion | None, keeps_unknown: bool) -> Iterator[FieldError]:
    if conversion is None:
        return
    path = "spec.conversion"
    if conversion.strategy != "None" and keeps_unknown:
        text = "must be None if spec.preserveUnknownFields is true"
        yield invalid(f"{path}.strategy", conversion.strategy, text)
    if not conversion.strategy:
        yield required(f"{path}.strategy")
    elif conversion.strategy not in ("None", "Webhook"):
        yield not_supported(f"{path}.strategy", conversion.strategy, ("None", "Webhook"))
    webhook = conversion.webhook
    config = webhook.client_config if webhook is not None else None
    reviews = webhook.conversion_review_versions if webhook is not None else []
    if conversion.strategy != "Webhook":
        text = "should not be set when strategy is not set to Webhook"
        if config is not None:
            yield forbidden(f"{path}.webhookClientConfig", text)
        if reviews:
            yield forbidden(f"{path}.conversionReviewVersions", text)
        return
    if config is None:
        yield required(f"{path}.webhookClientConfig", "required when strategy is set to Webhook")
    else:
        yield from validate_client(f"{path}.webhookClientConfig", config)
    yield from _reviews(reviews, f"{path}.conversionReviewVersions")


def _reviews(stated: list[str], path: str) -> Iterator[FieldError]:
    if not stated:
        yield required(path)
        return
    seen: set[str] = set()
    for index, version in enumerate(stated):
        if version in seen:
            yield invalid(f"{path}[{index}]", version, "duplicate version")
            continue
        seen.add(version)
        for problem in names.dns_label_1035(version):
            yield invalid(f"{path}[{index}]", version, problem)
    if not seen & set(_REVIEWS):
        yield invalid(path, stated, f"must include at least one of {', '.join(_REVIEWS)}")


def _stored_versions(new: CustomResourceDefinition) -> Iterator[FieldError]:
    path, stored = "status.storedVersions", new.status.stored_versions
    if not stored:
        yield invalid(path, None, "must have at least one stored version")
        return
    known = {version.name for version in new.spec.versions}
    for version in new.spec.versions:
        if version.storage and version.name not in stored:
            yield invalid(path, stored, f"must have the storage version {version.name}")
    for index, name in enumerate(stored):
        if name not in known:
            text = (
                f"missing from spec.versions; {name} was previously a storage version, and must remain in "
                f"spec.versions until a storage migration ensures no data remains persisted in {name} and removes "
                f"{name} from status.storedVersions"
            )
            yield invalid(f"{path}[{index}]", name, text)


def _approval(new: CustomResourceDefinition, old: CustomResourceDefinition | None) -> Iterator[FieldError]:
    if not is_protected(new.spec.group):
        return
    state, reason = approval_of(new.metadata.annotations)
    if old is not None and approval_of(old.metadata.annotations)[0] == state:
        return
    path = f"metadata.annotations[{ANNOTATION}]"
    if state == "missing":
        yield required(path, reason)
    elif state == "invalid":
        yield invalid(path, new.metadata.annotations[ANNOTATION], reason)
