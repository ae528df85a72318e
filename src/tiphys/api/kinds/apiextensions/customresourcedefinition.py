"""CustomResourceDefinition.

Source: staging/src/k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1/types.go.
"""

from collections.abc import Iterable
from typing import Annotated

from tiphys.api.errors import FieldError
from tiphys.api.kind import Column, Kind, Subresource
from tiphys.api.kinds.apiextensions import strategy
from tiphys.api.kinds.apiextensions.jsonschema import JSONSchemaProps
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Int32, Struct, Time, empty_list, field, proto


class ServiceReference(Struct):
    """The Service in front of a server."""

    namespace: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    name: Annotated[str, proto(2, required=True)] = field(default_factory=str)
    path: Annotated[str | None, proto(3)] = None
    port: Annotated[Int32 | None, proto(4)] = None


class WebhookClientConfig(Struct):
    """How a server is reached and trusted."""

    url: Annotated[str | None, proto(3)] = None
    service: Annotated[ServiceReference | None, proto(1)] = None
    ca_bundle: Annotated[bytes, proto(2)] = b""


class WebhookConversion(Struct):
    """The server that converts."""

    client_config: Annotated[WebhookClientConfig | None, proto(2)] = None
    conversion_review_versions: Annotated[list[str], proto(3, required=True, list_type="atomic")] = field(
        default_factory=empty_list
    )


class CustomResourceConversion(Struct):
    """How objects get from one version to another."""

    strategy: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    webhook: Annotated[WebhookConversion | None, proto(2)] = None


class CustomResourceDefinitionNames(Struct):
    """What the kind is called in paths, objects and on the command line."""

    plural: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    singular: Annotated[str, proto(2)] = ""
    short_names: Annotated[list[str], proto(3, list_type="atomic")] = []
    kind: Annotated[str, proto(4, required=True)] = field(default_factory=str)
    list_kind: Annotated[str, proto(5)] = ""
    categories: Annotated[list[str], proto(6, list_type="atomic")] = []


class CustomResourceColumnDefinition(Struct):
    """A column of the table that `kubectl get` prints."""

    name: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    type: Annotated[str, proto(2, required=True)] = field(default_factory=str)
    format: Annotated[str, proto(3)] = ""
    description: Annotated[str, proto(4)] = ""
    priority: Annotated[Int32, proto(5)] = 0
    json_path: Annotated[str, proto(6, required=True)] = field(default_factory=str)


class CustomResourceSubresourceScale(Struct):
    """Where objects keep their count."""

    spec_replicas_path: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    status_replicas_path: Annotated[str, proto(2, required=True)] = field(default_factory=str)
    label_selector_path: Annotated[str | None, proto(3)] = None


class CustomResourceSubresourceStatus(Struct):
    """Says that the kind has a status of its own path."""


class CustomResourceSubresources(Struct):
    """Which of status and scale the kind has."""

    status: Annotated[CustomResourceSubresourceStatus | None, proto(1)] = None
    scale: Annotated[CustomResourceSubresourceScale | None, proto(2)] = None


class CustomResourceValidation(Struct):
    """The rules for objects of a version."""

    open_api_v3_schema: Annotated[JSONSchemaProps | None, proto(1)] = None


class SelectableField(Struct):
    """A field that field selectors may use."""

    json_path: Annotated[str, proto(1, required=True)] = field(default_factory=str)


class CustomResourceDefinitionVersion(Struct):
    """One version: its schema, subresources and columns."""

    name: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    served: Annotated[bool, proto(2, required=True)] = field(default_factory=bool)
    storage: Annotated[bool, proto(3, required=True)] = field(default_factory=bool)
    deprecated: Annotated[bool, proto(7)] = False
    deprecation_warning: Annotated[str | None, proto(8)] = None
    schema: Annotated[CustomResourceValidation | None, proto(4)] = None
    subresources: Annotated[CustomResourceSubresources | None, proto(5)] = None
    additional_printer_columns: Annotated[list[CustomResourceColumnDefinition], proto(6, list_type="atomic")] = []
    selectable_fields: Annotated[list[SelectableField], proto(9, list_type="atomic")] = []


class CustomResourceDefinitionSpec(Struct):
    """The kind's group, names, scope and versions."""

    group: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    names: Annotated[CustomResourceDefinitionNames, proto(3, required=True)] = field(
        default_factory=CustomResourceDefinitionNames
    )
    scope: Annotated[str, proto(4, required=True)] = field(default_factory=str)
    versions: Annotated[list[CustomResourceDefinitionVersion], proto(7, required=True, list_type="atomic")] = field(
        default_factory=empty_list
    )
    conversion: Annotated[CustomResourceConversion | None, proto(9)] = None
    preserve_unknown_fields: Annotated[bool, proto(10)] = False


class CustomResourceDefinitionCondition(Struct):
    """One aspect of a definition's state."""

    type: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    status: Annotated[str, proto(2, required=True)] = field(default_factory=str)
    last_transition_time: Annotated[Time | None, proto(3)] = None
    reason: Annotated[str, proto(4)] = ""
    message: Annotated[str, proto(5)] = ""
    observed_generation: Annotated[int, proto(6)] = 0


class CustomResourceDefinitionStatus(Struct):
    """Whether the kind is served, under which names, and in which versions objects are stored."""

    conditions: Annotated[
        list[CustomResourceDefinitionCondition], proto(1, list_type="map", list_map_keys=("type",))
    ] = field(default_factory=empty_list)
    accepted_names: Annotated[CustomResourceDefinitionNames, proto(2)] = field(
        default_factory=CustomResourceDefinitionNames
    )
    stored_versions: Annotated[list[str], proto(3, list_type="atomic")] = field(default_factory=empty_list)
    observed_generation: Annotated[int, proto(4)] = 0


class CustomResourceDefinition(Resource):
    """A kind that users add to the API."""

    spec: Annotated[CustomResourceDefinitionSpec, proto(2, required=True)] = field(
        default_factory=CustomResourceDefinitionSpec
    )
    status: Annotated[CustomResourceDefinitionStatus, proto(3)] = field(default_factory=CustomResourceDefinitionStatus)


def _validate(new: CustomResourceDefinition, old: CustomResourceDefinition | None) -> Iterable[FieldError]:
    from tiphys.api.kinds.apiextensions import validation

    return validation.validate(new, old)


def _validate_status(new: CustomResourceDefinition, old: CustomResourceDefinition | None) -> Iterable[FieldError]:
    from tiphys.api.kinds.apiextensions import validation

    return validation.validate_status(new, old)


CUSTOMRESOURCEDEFINITION = Kind(
    group="apiextensions.k8s.io",
    version="v1",
    kind="CustomResourceDefinition",
    plural="customresourcedefinitions",
    schema=CustomResourceDefinition,
    namespaced=False,
    short_names=(
        "crd",
        "crds",
    ),
    categories=("api-extensions",),
    subresources=(Subresource("status", ("get", "patch", "update")),),
    generation=True,
    allow_unconditional_update=False,
    storage_name="apiextensions.k8s.io/customresourcedefinitions",
    keep_decoded=False,
    default=strategy.default,
    prepare=strategy.prepare,
    prepare_status=strategy.prepare_status,
    validate=_validate,
    validate_status=_validate_status,
    columns=(
        Column("Name", "string", lambda obj: obj.metadata.name, "The definition's name.", format="name"),
        Column("Created At", "timestamp", lambda obj: obj.metadata.creation_timestamp or "", "When it was created."),
    ),
)
