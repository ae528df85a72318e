"""What ReplicaSet and Deployment share: a selector, and a template of the pods it selects.

Source: pkg/apis/apps/validation/validation.go.
"""

from __future__ import annotations

from collections.abc import Iterator

from tiphys.api.errors import FieldError, forbidden, invalid, not_supported, required
from tiphys.api.kinds.core.pod.spec import PodTemplateSpec
from tiphys.api.kinds.core.pod.validation import validate_template
from tiphys.api.labels import selector_of
from tiphys.api.meta.types import LabelSelector
from tiphys.api.meta.validation import validate_selector

_TOO_MANY = "cannot be greater than status.replicas"


def validate_selected_template(selector: LabelSelector | None, template: PodTemplateSpec) -> Iterator[FieldError]:
    """`spec.selector` and `spec.template`: the one must select what the other makes."""
    if selector is None:
        yield required("spec.selector")
    else:
        yield from validate_selector(selector, "spec.selector")
        if not selector.match_labels and not selector.match_expressions:
            yield invalid("spec.selector", selector, "empty selector is invalid for deployment")
    try:
        predicate = selector_of(selector)
    except ValueError:
        yield invalid("spec.selector", selector, "invalid label selector")
        return
    labels = template.metadata.labels
    if (selector is None or predicate.requirements) and not predicate.matches(labels):
        why = "`selector` does not match template `labels`"
        yield invalid("spec.template.metadata.labels", labels or None, why)
    yield from validate_template(template, "spec.template")
    if template.spec.restart_policy != "Always":
        yield not_supported("spec.template.spec.restartPolicy", template.spec.restart_policy, ["Always"])
    if template.spec.active_deadline_seconds is not None:
        why = "activeDeadlineSeconds in ReplicaSet is not Supported"
        yield forbidden("spec.template.spec.activeDeadlineSeconds", why)


def validate_counts(counts: dict[str, int], replicas: int) -> Iterator[FieldError]:
    """No part of the replicas is more than the whole."""
    for name, count in counts.items():
        if count > replicas:
            yield invalid(f"status.{name}", count, _TOO_MANY)
    if counts["availableReplicas"] > counts["readyReplicas"]:
        yield invalid("status.availableReplicas", counts["availableReplicas"], "cannot be greater than readyReplicas")
