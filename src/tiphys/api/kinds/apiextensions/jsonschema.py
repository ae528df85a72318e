"""The schema of a custom resource.

Source: staging/src/k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1/types_jsonschema.go.
"""

from typing import Annotated, Any

from tiphys.api.meta.schema import Struct, field, proto

Number = int | float
"""As it was written: 10 is not 10.0."""


class ExternalDocumentation(Struct):
    """Where to read more."""

    description: Annotated[str, proto(1)] = ""
    url: Annotated[str, proto(2)] = ""


class ValidationRule(Struct):
    """An expression that a value must satisfy."""

    rule: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    message: Annotated[str, proto(2)] = ""
    message_expression: Annotated[str, proto(3)] = ""
    reason: Annotated[str | None, proto(4)] = None
    field_path: Annotated[str, proto(5)] = ""
    optional_old_self: Annotated[bool | None, proto(6)] = None


class JSONSchemaProps(Struct):
    """The rules for one value of a custom resource."""

    id: Annotated[str, proto(1)] = ""
    schema: Annotated[str, proto(2)] = field(default="", name="$schema")
    ref: Annotated[str | None, proto(3)] = field(default=None, name="$ref")
    description: Annotated[str, proto(4)] = ""
    type: Annotated[str, proto(5)] = ""
    format: Annotated[str, proto(6)] = ""
    title: Annotated[str, proto(7)] = ""
    default: Annotated[Any, proto(8)] = None
    maximum: Annotated[Number | None, proto(9)] = None
    exclusive_maximum: Annotated[bool, proto(10)] = False
    minimum: Annotated[Number | None, proto(11)] = None
    exclusive_minimum: Annotated[bool, proto(12)] = False
    max_length: Annotated[int | None, proto(13)] = None
    min_length: Annotated[int | None, proto(14)] = None
    pattern: Annotated[str, proto(15)] = ""
    max_items: Annotated[int | None, proto(16)] = None
    min_items: Annotated[int | None, proto(17)] = None
    unique_items: Annotated[bool, proto(18)] = False
    multiple_of: Annotated[Number | None, proto(19)] = None
    enum: Annotated[list[Any], proto(20, list_type="atomic")] = []
    max_properties: Annotated[int | None, proto(21)] = None
    min_properties: Annotated[int | None, proto(22)] = None
    required: Annotated[list[str], proto(23, list_type="atomic")] = []
    items: Annotated["JSONSchemaProps | list[JSONSchemaProps] | None", proto(24)] = None
    all_of: Annotated["list[JSONSchemaProps]", proto(25, list_type="atomic")] = []
    one_of: Annotated["list[JSONSchemaProps]", proto(26, list_type="atomic")] = []
    any_of: Annotated["list[JSONSchemaProps]", proto(27, list_type="atomic")] = []
    not_: Annotated["JSONSchemaProps | None", proto(28)] = None
    properties: Annotated["dict[str, JSONSchemaProps]", proto(29)] = {}
    additional_properties: Annotated["JSONSchemaProps | bool | None", proto(30)] = None
    pattern_properties: Annotated["dict[str, JSONSchemaProps]", proto(31)] = {}
    dependencies: Annotated["dict[str, JSONSchemaProps | list[str]]", proto(32)] = {}
    additional_items: Annotated["JSONSchemaProps | bool | None", proto(33)] = None
    definitions: Annotated["dict[str, JSONSchemaProps]", proto(34)] = {}
    external_docs: Annotated[ExternalDocumentation | None, proto(35)] = None
    example: Annotated[Any, proto(36)] = None
    nullable: Annotated[bool, proto(37)] = False
    x_kubernetes_preserve_unknown_fields: Annotated[bool | None, proto(38)] = field(
        default=None, name="x-kubernetes-preserve-unknown-fields"
    )
    x_kubernetes_embedded_resource: Annotated[bool, proto(39)] = field(
        default=False, name="x-kubernetes-embedded-resource"
    )
    x_kubernetes_int_or_string: Annotated[bool, proto(40)] = field(default=False, name="x-kubernetes-int-or-string")
    x_kubernetes_list_map_keys: Annotated[list[str], proto(41, list_type="atomic")] = field(
        default_factory=list, name="x-kubernetes-list-map-keys"
    )
    x_kubernetes_list_type: Annotated[str | None, proto(42)] = field(default=None, name="x-kubernetes-list-type")
    x_kubernetes_map_type: Annotated[str | None, proto(43)] = field(default=None, name="x-kubernetes-map-type")
    x_kubernetes_validations: Annotated[
        list[ValidationRule], proto(44, merge_key="rule", list_type="map", list_map_keys=("rule",))
    ] = field(default_factory=list, name="x-kubernetes-validations")
