"""ResourceClaimTemplate. Source: staging/src/k8s.io/api/resource/v1/types.go."""

from collections.abc import Iterator
from typing import Annotated

from msgspec.structs import replace

from tiphys.api.errors import FieldError, forbidden
from tiphys.api.kind import Kind
from tiphys.api.kinds.columns import AGE, NAME
from tiphys.api.kinds.resource.claim_validation import default_claim_spec, validate_claim_spec
from tiphys.api.kinds.resource.types import ResourceClaimSpec
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Struct, field, proto
from tiphys.api.meta.types import ObjectMeta
from tiphys.api.meta.validation import immutable, validate_annotations, validate_labels


class ResourceClaimTemplateSpec(Struct):
    """The claim that is made for each pod."""

    metadata: Annotated[ObjectMeta, proto(1)] = field(default_factory=ObjectMeta)
    spec: Annotated[ResourceClaimSpec, proto(2, required=True)] = field(default_factory=ResourceClaimSpec)


class ResourceClaimTemplate(Resource):
    """A claim to copy for each pod."""

    spec: Annotated[ResourceClaimTemplateSpec, proto(2, required=True)] = field(
        default_factory=ResourceClaimTemplateSpec
    )


def _default(obj: ResourceClaimTemplate) -> None:
    default_claim_spec(obj.spec.spec)


_NOT_TEMPLATED = {
    "name": "name", "generate_name": "generateName", "namespace": "namespace", "self_link": "selfLink", "uid": "uID",
    "resource_version": "resourceVersion", "generation": "generation", "creation_timestamp": "creationTimestamp",
    "deletion_timestamp": "deletionTimestamp", "deletion_grace_period_seconds": "deletionGracePeriodSeconds",
    "owner_references": "ownerReferences", "finalizers": "finalizers", "managed_fields": "managedFields",
}  # fmt: skip
"""Metadata that a template cannot give to its claims, and as which upstream names it."""


def _validate(obj: ResourceClaimTemplate, old: ResourceClaimTemplate | None) -> Iterator[FieldError]:
    if old is not None:
        yield from immutable("spec", obj.spec, old.spec)
        return
    meta = obj.spec.metadata
    for name, shown in _NOT_TEMPLATED.items():
        if getattr(meta, name):
            yield forbidden(f"spec.metadata.{shown}", "cannot be set")
    yield from validate_annotations(meta.annotations, "spec.metadata.annotations")
    yield from validate_labels(meta.labels, "spec.metadata.labels")
    yield from validate_claim_spec(obj.spec.spec, "spec.spec")


RESOURCECLAIMTEMPLATE = Kind(
    group="resource.k8s.io",
    version="v1",
    kind="ResourceClaimTemplate",
    plural="resourceclaimtemplates",
    schema=ResourceClaimTemplate,
    default=_default,
    validate=_validate,
    columns=(NAME, AGE),
)

RESOURCECLAIMTEMPLATE_V1BETA2 = replace(RESOURCECLAIMTEMPLATE, version="v1beta2", stored_as=RESOURCECLAIMTEMPLATE)
