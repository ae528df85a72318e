"""SubjectAccessReview and its relatives: may this one do that?

Source: pkg/registry/authorization.
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from tiphys.api import errors
from tiphys.api.errors import BadRequest, FieldError, invalid_object
from tiphys.api.kinds.authorization.accessreviews import SubjectAccessReviewStatus
from tiphys.api.kinds.authorization.selfsubjectrulesreview import (
    NonResourceRule,
    ResourceRule,
    SelfSubjectRulesReview,
    SubjectRulesReviewStatus,
)
from tiphys.api.meta.types import ObjectMeta
from tiphys.apiserver.request import RequestInfo, User
from tiphys.apiserver.verbs.context import Context

GROUP = "authorization.k8s.io"


def _info(spec: Any) -> RequestInfo:
    attributes = spec.resource_attributes
    if attributes is None:
        plain = spec.non_resource_attributes
        return RequestInfo(verb=plain.verb, path=plain.path)
    query: dict[str, tuple[str, ...]] = {}
    selector = attributes.field_selector
    if selector is not None:
        terms = selector.raw_selector or ",".join(
            f"{term.key}={term.values[0]}"
            for term in selector.requirements
            if term.operator == "In" and len(term.values) == 1
        )
        query["fieldSelector"] = (terms,)
    return RequestInfo(
        verb=attributes.verb, path="", is_resource=True, group=attributes.group, version=attributes.version,
        resource=attributes.resource, subresource=attributes.subresource, namespace=attributes.namespace,
        name=attributes.name, query=query,
    )  # fmt: skip


def _check(review: Any, *, subject: bool, namespaced: bool = False) -> None:
    spec, found = review.spec, []
    if spec.resource_attributes is not None and spec.non_resource_attributes is not None:
        found.append(
            errors.invalid(
                "spec.nonResourceAttributes",
                _attributes(spec),
                "cannot be specified in combination with resourceAttributes",
            )
        )
    if spec.resource_attributes is None and spec.non_resource_attributes is None:
        found.append(
            errors.invalid(
                "spec.resourceAttributes",
                None,
                "exactly one of nonResourceAttributes or resourceAttributes must be specified",
            )
        )
    if spec.resource_attributes is not None:
        for name in ("field", "label"):
            found += _selector_errors(getattr(spec.resource_attributes, f"{name}_selector"), name)
    if subject and not spec.user and not spec.groups:
        found.append(errors.invalid("spec.user", "", "at least one of user or group must be specified"))
    meta = replace(review.metadata, managed_fields=[])
    if meta != ObjectMeta(namespace=meta.namespace if namespaced else ""):
        why = "must be empty except for namespace" if namespaced else "must be empty"
        found.append(errors.invalid("metadata", _shown(meta), why))
    if found:
        raise invalid_object(GROUP, "", "", found)


def _attributes(spec: Any) -> dict[str, str]:
    """As upstream's internal type is shown."""
    return {"Path": spec.non_resource_attributes.path, "Verb": spec.non_resource_attributes.verb}


def _selector_errors(selector: Any, name: str) -> list[FieldError]:
    if selector is None:
        return []
    path = f"spec.resourceAttributes.{name}Selector"
    if selector.raw_selector and selector.requirements:
        why = "may not specified at the same time as requirements"
        return [errors.invalid(f"{path}.rawSelector", selector.raw_selector, why)]
    if not selector.raw_selector and not selector.requirements:
        why = f"when {path} is specified, requirements or rawSelector is required"
        return [errors.required(f"{path}.requirements", why)]
    return []


def _shown(value: Any) -> Any:
    from tiphys.api.codec import to_json

    return to_json(value)


async def _decide(context: Context, user: User, info: RequestInfo) -> SubjectAccessReviewStatus:
    decision = await context.authorizer.decide(user, info)
    return SubjectAccessReviewStatus(
        allowed=decision.allowed, denied=decision.denied, reason=decision.reason, evaluation_error=decision.error
    )


def _subject(spec: Any) -> User:
    extra = {key.lower(): tuple(values) for key, values in spec.extra.items()}
    return User(spec.user, spec.uid, tuple(spec.groups), extra)


async def subject_access(context: Context, _user: User, _namespace: str, review: Any) -> Any:
    _check(review, subject=True)
    review.status = await _decide(context, _subject(review.spec), _info(review.spec))
    return review


async def local_subject_access(context: Context, _user: User, namespace: str, review: Any) -> Any:
    _check(review, subject=True, namespaced=True)
    attributes = review.spec.resource_attributes
    if attributes is None:
        raise invalid_object(
            GROUP, "", "",
            [errors.invalid("spec.nonResourceAttributes", None, "disallowed on this kind of request")],
        )  # fmt: skip
    if attributes.namespace != namespace:
        raise BadRequest(
            "spec.resourceAttributes.namespace must match namespace: " + f"{attributes.namespace} != {namespace}"
        )
    review.status = await _decide(context, _subject(review.spec), _info(review.spec))
    return review


async def self_subject_access(context: Context, user: User, _namespace: str, review: Any) -> Any:
    _check(review, subject=False)
    review.status = await _decide(context, user, _info(review.spec))
    return review


async def self_subject_rules(context: Context, user: User, _namespace: str, review: Any) -> Any:
    """What the user may do in a namespace, as far as RBAC can enumerate it."""
    namespace = review.spec.namespace
    if not namespace:
        raise BadRequest("no namespace on request")
    rules, errors = context.authorizer.rules_for(user, namespace)
    status = SubjectRulesReviewStatus(
        resource_rules=[
            ResourceRule(
                verbs=rule.verbs,
                api_groups=rule.api_groups,
                resources=rule.resources,
                resource_names=rule.resource_names,
            )
            for rule in rules
            if rule.resources
        ],
        non_resource_rules=[
            NonResourceRule(verbs=rule.verbs, non_resource_urls=rule.non_resource_urls)
            for rule in rules
            if rule.non_resource_urls
        ],
    )
    status.incomplete = bool(errors)
    status.evaluation_error = errors[0] if len(errors) == 1 else f"[{', '.join(errors)}]" if errors else ""
    return SelfSubjectRulesReview(kind=review.kind, api_version=review.api_version, status=status)
