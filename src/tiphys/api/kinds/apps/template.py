"""What the workloads share: a selector, a template of the pods it selects, numbers that may be percentages.

Source: pkg/apis/apps/validation/validation.go.
"""

from __future__ import annotations

from collections.abc import Iterator

from tiphys.api import names
from tiphys.api.errors import FieldError, forbidden, invalid, not_supported, required
from tiphys.api.kinds.core.pod.spec import PodTemplateSpec
from tiphys.api.kinds.core.pod.validation import validate_template
from tiphys.api.labels import selector_of
from tiphys.api.meta.schema import IntOrString
from tiphys.api.meta.types import LabelSelector
from tiphys.api.meta.validation import each, non_negative, validate_selector

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
    yield from always_running(template, "spec.template", "ReplicaSet")


def validate_counts(counts: dict[str, int], replicas: int) -> Iterator[FieldError]:
    """No part of the replicas is more than the whole."""
    for name, count in counts.items():
        if count > replicas:
            yield invalid(f"status.{name}", count, _TOO_MANY)
    if counts["availableReplicas"] > counts["readyReplicas"]:
        yield invalid("status.availableReplicas", counts["availableReplicas"], "cannot be greater than readyReplicas")


def validate_share(path: str, share: IntOrString) -> Iterator[FieldError]:
    """A number that is not negative, or a percentage."""
    if isinstance(share, int):
        yield from non_negative(path, share)
    else:
        yield from each(path, share, names.percent(share))


def at_most_all(path: str, share: IntOrString) -> Iterator[FieldError]:
    if isinstance(share, str) and share_number(share) > 100:
        yield invalid(path, share, "must not be greater than 100%")


def share_number(share: IntOrString) -> int:
    """The number in front of the percent sign, or the number itself; 0 if it is neither."""
    if isinstance(share, int):
        return share
    return int(share.rstrip("%")) if not names.percent(share) else 0


def always_running(template: PodTemplateSpec, path: str, kind: str) -> Iterator[FieldError]:
    """Pods that are kept running neither end nor have a deadline."""
    spec = template.spec
    if spec.restart_policy != "Always":
        yield not_supported(f"{path}.spec.restartPolicy", spec.restart_policy, ["Always"])
    if spec.active_deadline_seconds is not None:
        yield forbidden(f"{path}.spec.activeDeadlineSeconds", f"activeDeadlineSeconds in {kind} is not Supported")
