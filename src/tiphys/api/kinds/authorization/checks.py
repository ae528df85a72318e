"""What access reviews may ask. Source: pkg/apis/authorization/validation/validation.go."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from tiphys.api.errors import FieldError, forbidden, invalid, required
from tiphys.api.meta.types import FieldSelectorRequirement, LabelSelectorRequirement, ObjectMeta

if TYPE_CHECKING:  # accessreviews.py imports this module
    from tiphys.api.kinds.authorization.accessreviews import (
        FieldSelectorAttributes,
        LabelSelectorAttributes,
        LocalSubjectAccessReview,
        ResourceAttributes,
        SelfSubjectAccessReview,
        SubjectAccessReview,
        SubjectAccessReviewSpec,
    )


def subject_access_review(review: SubjectAccessReview, _old: SubjectAccessReview | None) -> Iterator[FieldError]:
    yield from _question(review)
    yield from _subject(review.spec)
    yield from _resource(review.spec.resource_attributes)
    if not _is_empty(review.metadata):
        yield invalid("metadata", review.metadata, "must be empty")


def self_subject_access_review(
    review: SelfSubjectAccessReview, _old: SelfSubjectAccessReview | None
) -> Iterator[FieldError]:
    yield from _question(review)
    yield from _resource(review.spec.resource_attributes)
    if not _is_empty(review.metadata):
        yield invalid("metadata", review.metadata, "must be empty")


def local_subject_access_review(
    review: LocalSubjectAccessReview, _old: LocalSubjectAccessReview | None
) -> Iterator[FieldError]:
    yield from _question(review)
    yield from _subject(review.spec)
    resource = review.spec.resource_attributes
    yield from _resource(resource)
    if not _is_empty(review.metadata, namespaced=True):
        yield invalid("metadata", review.metadata, "must be empty except for namespace")
    if resource is not None and resource.namespace != review.metadata.namespace:
        yield invalid("spec.resourceAttributes.namespace", resource.namespace, "must match metadata.namespace")
    other = review.spec.non_resource_attributes
    if other is not None:
        yield invalid("spec.nonResourceAttributes", other, "disallowed on this kind of request")


def _question(
    review: SubjectAccessReview | LocalSubjectAccessReview | SelfSubjectAccessReview,
) -> Iterator[FieldError]:
    resource, other = review.spec.resource_attributes, review.spec.non_resource_attributes
    if resource is not None and other is not None:
        why = "cannot be specified in combination with resourceAttributes"
        yield invalid("spec.nonResourceAttributes", other, why)
    if resource is None and other is None:
        why = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        yield invalid("spec.resourceAttributes", None, why)


def _subject(spec: SubjectAccessReviewSpec) -> Iterator[FieldError]:
    if not spec.user and not spec.groups:
        yield invalid("spec.user", spec.user, "at least one of user or group must be specified")


def _is_empty(meta: ObjectMeta, namespaced: bool = False) -> bool:
    empty = ObjectMeta(managed_fields=meta.managed_fields, namespace=meta.namespace if namespaced else "")
    return meta == empty


def _resource(attributes: ResourceAttributes | None) -> Iterator[FieldError]:
    if attributes is not None:
        yield from _selector("spec.resourceAttributes.fieldSelector", attributes.field_selector)
        yield from _selector("spec.resourceAttributes.labelSelector", attributes.label_selector)


def _selector(path: str, selector: FieldSelectorAttributes | LabelSelectorAttributes | None) -> Iterator[FieldError]:
    if selector is None:
        return
    if selector.raw_selector and selector.requirements:
        why = "may not specified at the same time as requirements"
        yield invalid(f"{path}.rawSelector", selector.raw_selector, why)
    if not selector.raw_selector and not selector.requirements:
        yield required(f"{path}.requirements", f"when {path} is specified, requirements or rawSelector is required")
    requirements: Sequence[FieldSelectorRequirement | LabelSelectorRequirement] = selector.requirements
    for index, requirement in enumerate(requirements):
        yield from _requirement(f"{path}.requirements[{index}]", requirement)


def _requirement(at: str, requirement: FieldSelectorRequirement | LabelSelectorRequirement) -> Iterator[FieldError]:
    """Operators that are not known are let through: an authorizer takes them as `anything`."""
    if not requirement.key:
        yield required(f"{at}.key", "must be specified")
    if requirement.operator in ("In", "NotIn") and not requirement.values:
        yield required(f"{at}.values", "must be specified when `operator` is 'In' or 'NotIn'")
    if requirement.operator in ("Exists", "DoesNotExist") and requirement.values:
        yield forbidden(f"{at}.values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")
