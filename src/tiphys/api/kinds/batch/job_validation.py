"""What a Job may say. Source: pkg/apis/batch/validation/validation.go, pkg/registry/batch/job/strategy.go."""

from __future__ import annotations

from collections.abc import Iterator

from tiphys.api import names
from tiphys.api.errors import FieldError, duplicate, invalid, not_supported, required, too_long, too_many
from tiphys.api.kinds.batch.indexes import check_indexes
from tiphys.api.kinds.batch.job_schema import (
    Job,
    JobSpec,
    PodFailurePolicyOnExitCodesRequirement,
    PodFailurePolicyRule,
    SuccessPolicyRule,
)
from tiphys.api.kinds.core.pod.placement import Affinity
from tiphys.api.kinds.core.pod.spec import PodSpec, PodTemplateSpec
from tiphys.api.kinds.core.pod.validation import validate_template
from tiphys.api.labels import selector_of
from tiphys.api.meta.schema import copy_of
from tiphys.api.meta.validation import each, immutable, non_negative, validate_selector

UID_LABEL, NAME_LABEL = "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name"
JOB_NAME_LABELS, UID_LABELS = ("job-name", NAME_LABEL), ("controller-uid", UID_LABEL)
MODES = ("NonIndexed", "Indexed")
ACTIONS = ("Count", "FailIndex", "FailJob", "Ignore")
OPERATORS, STATUSES = ("In", "NotIn"), ("False", "True", "Unknown")
REPLACEMENT = ("Failed", "TerminatingOrFailed")
RULES_MAX, CODES_MAX, PATTERNS_MAX = 20, 255, 20
MANAGED_BY_MAX = 63
INDEXED_PARALLELISM_MAX = FAILED_INDEXES_MAX = COMPLETIONS_HIGH = 100_000
HIGH_MAX = 10_000
"""Parallelism and failed indexes, where completions are high and each index has a limit of its own."""
INDEXES_TEXT_MAX = 64 * 1024


def validate(obj: Job, old: Job | None) -> Iterator[FieldError]:
    spec = obj.spec
    yield from _generated_selector(obj, prefixed=old is None or _has_prefixed_labels(old))
    yield from _job_spec(spec)
    if spec.completion_mode == "Indexed" and spec.completions:
        name = f"{obj.metadata.name}-{spec.completions - 1}"
        if names.dns_label(name):
            why = f"will not able to create pod with invalid DNS label: {name}"
            yield invalid("metadata.name", obj.metadata.name, why)
    if old is not None:
        yield from _changes(obj, old)


def _has_prefixed_labels(old: Job) -> bool:
    return {UID_LABEL, NAME_LABEL} <= old.spec.template.metadata.labels.keys()


def _generated_selector(obj: Job, *, prefixed: bool) -> Iterator[FieldError]:
    meta, labels = obj.metadata, obj.spec.template.metadata.labels
    if obj.spec.manual_selector or obj.spec.selector is None:
        return
    if not meta.uid:
        yield required("metadata.uid")
    expected = {"controller-uid": meta.uid, "job-name": meta.name}
    if prefixed:
        expected |= {UID_LABEL: meta.uid, NAME_LABEL: meta.name}
    for label, value in expected.items():
        path = f"spec.template.metadata.labels[{label}]"
        if label not in labels:
            yield required(path, f"must be '{value}'")
        elif labels[label] != value:
            yield invalid(path, labels, f"must be '{value}'")
    try:
        matches = selector_of(obj.spec.selector).matches(expected)
    except ValueError:
        return
    if not matches:
        yield invalid("spec.selector", obj.spec.selector, "`selector` not auto-generated")


def _job_spec(spec: JobSpec) -> Iterator[FieldError]:
    yield from validate_job_spec(spec, "spec")
    if spec.selector is None:
        yield required("spec.selector")
    yield from validate_selector(spec.selector, "spec.selector")
    try:
        matches = selector_of(spec.selector).matches(spec.template.metadata.labels)
    except ValueError:
        return
    if not matches:
        path = "spec.template.metadata.labels"
        yield invalid(path, spec.template.metadata.labels or None, "`selector` does not match template `labels`")


def validate_job_spec(spec: JobSpec, path: str) -> Iterator[FieldError]:
    """What holds for a job and for the template of one."""
    numbers = {
        "parallelism": spec.parallelism,
        "completions": spec.completions,
        "activeDeadlineSeconds": spec.active_deadline_seconds,
        "backoffLimit": spec.backoff_limit,
        "ttlSecondsAfterFinished": spec.ttl_seconds_after_finished,
        "backoffLimitPerIndex": spec.backoff_limit_per_index,
        "maxFailedIndexes": spec.max_failed_indexes,
    }
    for name, number in numbers.items():
        yield from non_negative(f"{path}.{name}", number or 0)
    if spec.max_failed_indexes is not None and spec.backoff_limit_per_index is None:
        yield required(f"{path}.backoffLimitPerIndex", "when maxFailedIndexes is specified")
    if spec.managed_by is not None:
        yield from _managed_by(spec.managed_by, f"{path}.managedBy")
    yield from _mode(spec, path)
    yield from _failure_policy(spec, f"{path}.podFailurePolicy")
    yield from _success_policy(spec, f"{path}.successPolicy")
    yield from _replacement(spec, f"{path}.podReplacementPolicy")
    yield from validate_template(spec.template, f"{path}.template")
    yield from _restarts(spec, f"{path}.template.spec.restartPolicy")


def _managed_by(value: str, path: str) -> Iterator[FieldError]:
    if not value:
        yield required(path)
    else:
        yield from each(path, value, names.domain_prefixed_path(value))
    if len(value) > MANAGED_BY_MAX:
        yield too_long(path, MANAGED_BY_MAX)


def _mode(spec: JobSpec, path: str) -> Iterator[FieldError]:
    mode = spec.completion_mode
    if mode is not None and mode not in MODES:
        yield not_supported(f"{path}.completionMode", mode, MODES)
    if mode == "Indexed":
        yield from _indexed(spec, path)
    elif mode in (None, "NonIndexed"):
        for name, number in (
            ("backoffLimitPerIndex", spec.backoff_limit_per_index),
            ("maxFailedIndexes", spec.max_failed_indexes),
        ):
            if number is not None:
                yield invalid(f"{path}.{name}", number, "requires indexed completion mode")


def _indexed(spec: JobSpec, path: str) -> Iterator[FieldError]:
    completions, parallelism, failed = spec.completions, spec.parallelism or 0, spec.max_failed_indexes
    if completions is None:
        yield required(f"{path}.completions", "when completion mode is Indexed")
    if parallelism > INDEXED_PARALLELISM_MAX:
        why = f"must be less than or equal to {INDEXED_PARALLELISM_MAX} when completion mode is Indexed"
        yield invalid(f"{path}.parallelism", parallelism, why)
    if completions is not None and failed is not None and failed > completions:
        yield invalid(f"{path}.maxFailedIndexes", failed, "must be less than or equal to completions")
    if failed is not None and failed > FAILED_INDEXES_MAX:
        yield invalid(f"{path}.maxFailedIndexes", failed, f"must be less than or equal to {FAILED_INDEXES_MAX}")
    if completions is None or completions <= COMPLETIONS_HIGH or spec.backoff_limit_per_index is None:
        return
    why = (
        f"must be less than or equal to {HIGH_MAX} when completions are above {COMPLETIONS_HIGH} and used with "
        "backoff limit per index"
    )
    if failed is None:
        yield required(f"{path}.maxFailedIndexes", f"must be specified when completions is above {COMPLETIONS_HIGH}")
    if parallelism > HIGH_MAX:
        yield invalid(f"{path}.parallelism", parallelism, why)
    if failed is not None and failed > HIGH_MAX:
        yield invalid(f"{path}.maxFailedIndexes", failed, why)


def _replacement(spec: JobSpec, path: str) -> Iterator[FieldError]:
    policy = spec.pod_replacement_policy
    choices = REPLACEMENT if spec.pod_failure_policy is None else ("Failed",)
    if policy is not None and policy not in choices:
        yield not_supported(path, policy, choices)


def _restarts(spec: JobSpec, path: str) -> Iterator[FieldError]:
    policy = spec.template.spec.restart_policy
    if policy in ("", "Always"):
        yield required(path, 'valid values: "OnFailure", "Never"')
    elif policy not in ("OnFailure", "Never"):
        yield not_supported(path, policy, ("OnFailure", "Never"))
    elif policy != "Never" and spec.pod_failure_policy is not None:
        yield invalid(path, policy, 'only "Never" is supported when podFailurePolicy is specified')


# --- policies


def _quoted(choices: tuple[str, ...]) -> str:
    return "valid values: [" + " ".join(f'"{choice}"' for choice in choices) + "]"


def _failure_policy(spec: JobSpec, path: str) -> Iterator[FieldError]:
    if spec.pod_failure_policy is None:
        return
    rules = spec.pod_failure_policy.rules
    if len(rules) > RULES_MAX:
        yield too_many(f"{path}.rules", len(rules), RULES_MAX)
    pod = spec.template.spec
    containers = {container.name for container in (*pod.containers, *pod.init_containers)}
    for index, rule in enumerate(rules):
        yield from _failure_rule(spec, rule, f"{path}.rules[{index}]", containers)


def _failure_rule(spec: JobSpec, rule: PodFailurePolicyRule, path: str, containers: set[str]) -> Iterator[FieldError]:
    if not rule.action:
        yield required(f"{path}.action", _quoted(ACTIONS))
    elif rule.action == "FailIndex":
        if spec.backoff_limit_per_index is None:
            yield invalid(f"{path}.action", rule.action, "requires the backoffLimitPerIndex to be set")
    elif rule.action not in ACTIONS:
        yield not_supported(f"{path}.action", rule.action, ACTIONS)
    if rule.on_exit_codes is not None:
        yield from _exit_codes(rule.on_exit_codes, f"{path}.onExitCodes", containers)
    yield from _pod_conditions(rule, f"{path}.onPodConditions")
    if rule.on_exit_codes is not None and rule.on_pod_conditions:
        yield _omitted(path, "specifying both OnExitCodes and OnPodConditions is not supported")
    if rule.on_exit_codes is None and not rule.on_pod_conditions:
        yield _omitted(path, "specifying one of OnExitCodes and OnPodConditions is required")


def _omitted(path: str, why: str) -> FieldError:
    """`Invalid value` without the value, which would be too long."""
    return FieldError("FieldValueInvalid", path, f"Invalid value: {why}")


def _pod_conditions(rule: PodFailurePolicyRule, path: str) -> Iterator[FieldError]:
    patterns = rule.on_pod_conditions
    if len(patterns) > PATTERNS_MAX:
        yield too_many(path, len(patterns), PATTERNS_MAX)
    for index, pattern in enumerate(patterns):
        yield from each(f"{path}[{index}].type", pattern.type, names.qualified_name(pattern.type))
        if not pattern.status:
            yield required(f"{path}[{index}].status", _quoted(STATUSES))
        elif pattern.status not in STATUSES:
            yield not_supported(f"{path}[{index}].status", pattern.status, STATUSES)


def _exit_codes(
    wanted: PodFailurePolicyOnExitCodesRequirement, path: str, containers: set[str]
) -> Iterator[FieldError]:
    if not wanted.operator:
        yield required(f"{path}.operator", _quoted(OPERATORS))
    elif wanted.operator not in OPERATORS:
        yield not_supported(f"{path}.operator", wanted.operator, OPERATORS)
    if wanted.container_name is not None and wanted.container_name not in containers:
        why = "must be one of the container or initContainer names in the pod template"
        yield invalid(f"{path}.containerName", wanted.container_name, why)
    values = wanted.values
    if not values:
        yield invalid(f"{path}.values", values or None, "at least one value is required")
    elif len(values) > CODES_MAX:
        yield too_many(f"{path}.values", len(values), CODES_MAX)
    for index, value in enumerate(values):
        if wanted.operator == "In" and value == 0:
            yield invalid(f"{path}.values[{index}]", value, "must not be 0 for the In operator")
        if value in values[:index]:
            yield duplicate(f"{path}.values[{index}]", value)
    if values != sorted(values):
        yield invalid(f"{path}.values", values, "must be ordered")


def _success_policy(spec: JobSpec, path: str) -> Iterator[FieldError]:
    if spec.success_policy is None:
        return
    if spec.completion_mode != "Indexed":
        yield invalid(path, spec.success_policy, "requires indexed completion mode")
        return
    rules = spec.success_policy.rules
    if not rules:
        why = "at least one rules must be specified when the successPolicy is specified"
        yield required(f"{path}.rules", why)
    if len(rules) > RULES_MAX:
        yield too_many(f"{path}.rules", len(rules), RULES_MAX)
    for index, rule in enumerate(rules):
        yield from _success_rule(spec.completions or 0, rule, f"{path}.rules[{index}]")


def _success_rule(completions: int, rule: SuccessPolicyRule, path: str) -> Iterator[FieldError]:
    indexes, count = rule.succeeded_indexes, rule.succeeded_count
    if count is None and indexes is None:
        yield required(path, "at least one of succeededCount or succeededIndexes must be specified")
    total = 0
    if indexes is not None:
        if len(indexes) > INDEXES_TEXT_MAX:
            yield too_long(f"{path}.succeededIndexes", INDEXES_TEXT_MAX)
        total, wrong = check_indexes(indexes, completions)
        if wrong:
            yield invalid(f"{path}.succeededIndexes", indexes, f"error parsing succeededIndexes: {wrong}")
    if count is None:
        return
    yield from non_negative(f"{path}.succeededCount", count)
    if count > completions:
        why = f"must be less than or equal to {completions} (the number of specified completions)"
        yield invalid(f"{path}.succeededCount", count, why)
    if indexes is not None and count > total:
        why = f"must be less than or equal to {total} (the number of indexes in the specified succeededIndexes field)"
        yield invalid(f"{path}.succeededCount", count, why)


# --- updates


def _changes(obj: Job, old: Job) -> Iterator[FieldError]:
    spec, before = obj.spec, old.spec
    if spec.completion_mode != "Indexed":
        yield from immutable("spec.completions", spec.completions, before.completions)
    elif spec.completions not in (None, before.completions) and spec.completions != spec.parallelism:
        why = "can only be modified in tandem with spec.parallelism"
        yield invalid("spec.completions", spec.completions, why)
    yield from immutable("spec.selector", spec.selector, before.selector)
    yield from _template_change(obj, old)
    for name, attribute in (
        ("completionMode", "completion_mode"),
        ("podFailurePolicy", "pod_failure_policy"),
        ("backoffLimitPerIndex", "backoff_limit_per_index"),
        ("managedBy", "managed_by"),
        ("successPolicy", "success_policy"),
    ):
        yield from immutable(f"spec.{name}", getattr(spec, attribute), getattr(before, attribute))


def _template_change(obj: Job, old: Job) -> Iterator[FieldError]:
    """A suspended job without pods may change where its pods go and what they take."""
    template, before = obj.spec.template, copy_of(old.spec.template)
    suspended = any(c.type == "Suspended" and c.status == "True" for c in old.status.conditions)
    if not (old.spec.suspend and (old.status.start_time is None or suspended) and not old.status.active):
        yield from immutable("spec.template", template, before)
        return
    _take_placement(before, template)
    _take_resources(before.spec, template.spec)
    yield from immutable("spec.template.spec", template.spec, before.spec)


def _take_placement(template: PodTemplateSpec, other: PodTemplateSpec) -> None:
    """Mutates `template`."""
    spec, wanted = template.spec, other.spec
    node = wanted.affinity.node_affinity if wanted.affinity is not None else None
    affinity = spec.affinity or Affinity()
    affinity.node_affinity = node
    spec.affinity = None if wanted.affinity is None and affinity == Affinity() else affinity
    spec.node_selector, spec.tolerations = wanted.node_selector, wanted.tolerations
    spec.scheduling_gates = wanted.scheduling_gates
    template.metadata.annotations, template.metadata.labels = other.metadata.annotations, other.metadata.labels


def _take_resources(spec: PodSpec, wanted: PodSpec) -> None:
    """Mutates `spec`."""
    for ours, theirs in ((spec.containers, wanted.containers), (spec.init_containers, wanted.init_containers)):
        if len(ours) == len(theirs):
            for mine, other in zip(ours, theirs, strict=True):
                if mine.name == other.name:
                    mine.resources = other.resources
