"""What users are told about workloads that cannot be: upstream's words and paths."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tiphys.api.kind import Kind, new
from tiphys.api.kinds import (
    CONTROLLERREVISION,
    CRONJOB,
    DAEMONSET,
    HORIZONTALPODAUTOSCALER,
    JOB,
    PODDISRUPTIONBUDGET,
    REPLICATIONCONTROLLER,
    STATEFULSET,
)
from tiphys.api.kinds.apps.daemonset import GENERATION, RollingUpdateDaemonSet
from tiphys.api.kinds.apps.statefulset import RollingUpdateStatefulSetStrategy
from tiphys.api.kinds.autoscaling.horizontalpodautoscaler_schema import (
    CrossVersionObjectReference,
    HorizontalPodAutoscalerBehavior,
    HPAScalingRules,
)
from tiphys.api.kinds.batch.indexes import check_indexes, overlap
from tiphys.api.kinds.batch.job_schema import (
    JobCondition,
    PodFailurePolicy,
    PodFailurePolicyOnExitCodesRequirement,
    PodFailurePolicyRule,
    SuccessPolicy,
    SuccessPolicyRule,
)
from tiphys.api.kinds.core.pod.containers import Container
from tiphys.api.kinds.core.pod.spec import PodTemplateSpec
from tiphys.api.meta.schema import copy_of
from tiphys.api.meta.types import LabelSelector

Edit = Callable[[Any], object]


def made(kind: Kind[Any]) -> Any:
    """A valid object, as the server would store it."""
    obj = new(kind, "web", "default")
    obj.metadata.uid = "u"
    if hasattr(obj, "spec"):
        spec = obj.spec
        if kind is CRONJOB:
            spec.schedule = "@daily"
            spec = spec.job_template.spec
        if kind is REPLICATIONCONTROLLER:
            spec.template = PodTemplateSpec()
        if hasattr(spec, "template"):
            spec.template.metadata.labels = {"app": "web"}
            spec.template.spec.containers = [Container(name="c", image="web:1", termination_message_policy="File")]
        if kind in (STATEFULSET, DAEMONSET):
            spec.selector = LabelSelector(match_labels={"app": "web"})
        if kind in (JOB, CRONJOB):
            spec.template.spec.restart_policy = "Never"
        if kind is HORIZONTALPODAUTOSCALER:
            spec.max_replicas = 3
            spec.scale_target_ref = CrossVersionObjectReference(kind="Deployment", name="web", api_version="apps/v1")
    else:
        obj.data = {"spec": {}}
    kind.default(obj)
    kind.prepare(obj, None)
    kind.default(obj)
    return obj


def errors(kind: Kind[Any], edit: Edit = lambda obj: None, *, update: bool = False) -> list[str]:
    old = made(kind) if update else None
    obj = copy_of(old) if old is not None else made(kind)
    edit(obj)
    return [str(error) for error in kind.validate(obj, old)]


KINDS = (
    STATEFULSET, DAEMONSET, REPLICATIONCONTROLLER, JOB, CRONJOB, PODDISRUPTIONBUDGET, HORIZONTALPODAUTOSCALER,
    CONTROLLERREVISION,
)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_what_is_right_is_not_refused(kind: Kind[Any]) -> None:
    assert errors(kind) == []
    assert errors(kind, update=True) == []


def spec(**fields: Any) -> Edit:
    def edit(obj: Any) -> None:
        for name, value in fields.items():
            setattr(obj.spec, name, value)

    return edit


def exit_codes(*values: int, operator: str = "In", container: str | None = None, action: str = "FailJob") -> Edit:
    codes = PodFailurePolicyOnExitCodesRequirement(operator=operator, values=list(values), container_name=container)
    policy = PodFailurePolicy(rules=[PodFailurePolicyRule(action=action, on_exit_codes=codes)])
    return spec(pod_failure_policy=policy, pod_replacement_policy="Failed")


RULE = "spec.podFailurePolicy.rules[0]"


@pytest.mark.parametrize(
    ("kind", "edit", "expected"),
    [
        (STATEFULSET, spec(replicas=-1), "spec.replicas: Invalid value: -1: must be greater than or equal to 0"),
        (
            STATEFULSET,
            spec(pod_management_policy="Chaos"),
            "spec.podManagementPolicy: Invalid value: \"Chaos\": must be 'OrderedReady' or 'Parallel'",
        ),
        (
            STATEFULSET,
            lambda obj: setattr(
                obj.spec.update_strategy, "rolling_update", RollingUpdateStatefulSetStrategy(max_unavailable=0)
            ),
            "spec.updateStrategy.rollingUpdate.maxUnavailable: Invalid value: 0: cannot be 0",
        ),
        (
            STATEFULSET,
            lambda obj: setattr(obj.spec.persistent_volume_claim_retention_policy, "when_scaled", "Sell"),
            'spec.persistentVolumeClaimRetentionPolicy.whenScaled: Unsupported value: "Sell": supported values: '
            '"Retain", "Delete"',
        ),
        (
            STATEFULSET,
            lambda obj: obj.spec.selector.match_labels.clear(),
            "spec.selector: Invalid value: {}: empty selector is invalid for statefulset",
        ),
        (
            STATEFULSET,
            lambda obj: setattr(obj.spec.template.spec, "restart_policy", "Never"),
            'spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"',
        ),
        (
            DAEMONSET,
            lambda obj: obj.spec.template.metadata.labels.update(app="db"),
            'spec.template.metadata.labels: Invalid value: {"app":"db"}: `selector` does not match template `labels`',
        ),
        (
            DAEMONSET,
            lambda obj: setattr(
                obj.spec.update_strategy, "rolling_update", RollingUpdateDaemonSet(max_unavailable=1, max_surge=1)
            ),
            "spec.updateStrategy.rollingUpdate.maxSurge: Invalid value: 1: may not be set when maxUnavailable is "
            "non-zero",
        ),
        (
            DAEMONSET,
            lambda obj: setattr(
                obj.spec.update_strategy, "rolling_update", RollingUpdateDaemonSet(max_unavailable=0, max_surge=0)
            ),
            "spec.updateStrategy.rollingUpdate.maxUnavailable: Required value: cannot be 0 when maxSurge is 0",
        ),
        (REPLICATIONCONTROLLER, spec(template=None), "spec.template: Required value"),
        (
            JOB,
            lambda obj: setattr(obj.spec.template.spec, "restart_policy", "Always"),
            'spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"',
        ),
        (
            JOB,
            spec(completion_mode="Indexed", completions=None),
            "spec.completions: Required value: when completion mode is Indexed",
        ),
        (
            JOB,
            spec(backoff_limit_per_index=1),
            "spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode",
        ),
        (
            JOB,
            spec(managed_by="me"),
            'spec.managedBy: Invalid value: "me": must be a domain-prefixed path (such as "acme.io/foo")',
        ),
        (
            JOB,
            spec(success_policy=SuccessPolicy(rules=[SuccessPolicyRule(succeeded_count=9)]), completion_mode="Indexed"),
            "spec.successPolicy.rules[0].succeededCount: Invalid value: 9: must be less than or equal to 1 (the number "
            "of specified completions)",
        ),
        (
            JOB,
            lambda obj: obj.spec.template.metadata.labels.pop("controller-uid"),
            "spec.template.metadata.labels[controller-uid]: Required value: must be 'u'",
        ),
        (JOB, exit_codes(0), f"{RULE}.onExitCodes.values[0]: Invalid value: 0: must not be 0 for the In operator"),
        (JOB, exit_codes(2, 1), f"{RULE}.onExitCodes.values: Invalid value: [2,1]: must be ordered"),
        (JOB, exit_codes(1, 1), f"{RULE}.onExitCodes.values[1]: Duplicate value: 1"),
        (
            JOB,
            exit_codes(1, container="x"),
            f'{RULE}.onExitCodes.containerName: Invalid value: "x": must be one of the container or initContainer '
            "names in the pod template",
        ),
        (
            JOB,
            exit_codes(1, action="FailIndex"),
            f'{RULE}.action: Invalid value: "FailIndex": requires the backoffLimitPerIndex to be set',
        ),
        (
            JOB,
            exit_codes(1, action="Weep"),
            f'{RULE}.action: Unsupported value: "Weep": supported values: "Count", "FailIndex", "FailJob", "Ignore"',
        ),
        (CRONJOB, spec(schedule=""), "spec.schedule: Required value"),
        (
            CRONJOB,
            spec(schedule="TZ=UTC 0 0 * * *"),
            'spec.schedule: Invalid value: "TZ=UTC 0 0 * * *": cannot use TZ or CRON_TZ in schedule, use timeZone '
            "field instead",
        ),
        (
            CRONJOB,
            spec(schedule="61 0 * * *"),
            'spec.schedule: Invalid value: "61 0 * * *": end of range (61) above maximum (59): 61',
        ),
        (CRONJOB, spec(time_zone="Mars"), 'spec.timeZone: Invalid value: "Mars": unknown time zone Mars'),
        (
            CRONJOB,
            spec(time_zone="Local"),
            'spec.timeZone: Invalid value: "Local": timeZone must be an explicit time zone as defined in '
            "https://www.iana.org/time-zones",
        ),
        (
            CRONJOB,
            spec(concurrency_policy="Fight"),
            'spec.concurrencyPolicy: Unsupported value: "Fight": supported values: "Allow", "Forbid", "Replace"',
        ),
        (
            PODDISRUPTIONBUDGET,
            spec(max_unavailable="101%"),
            'spec.maxUnavailable: Invalid value: "101%": must not be greater than 100%',
        ),
        (
            PODDISRUPTIONBUDGET,
            spec(unhealthy_pod_eviction_policy="Never"),
            'spec.unhealthyPodEvictionPolicy: Unsupported value: "Never": supported values: "AlwaysAllow", '
            '"IfHealthyBudget"',
        ),
        (
            HORIZONTALPODAUTOSCALER,
            spec(max_replicas=0),
            "spec.maxReplicas: Required value: must be set and greater than 0",
        ),
        (
            HORIZONTALPODAUTOSCALER,
            spec(min_replicas=4),
            "spec.maxReplicas: Invalid value: 3: must be greater than or equal to `minReplicas`",
        ),
        (
            HORIZONTALPODAUTOSCALER,
            lambda obj: setattr(obj.spec.scale_target_ref, "api_version", "v1"),
            'spec.scaleTargetRef.apiVersion: Invalid value: "v1": apiVersion must specify API group',
        ),
        (
            HORIZONTALPODAUTOSCALER,
            lambda obj: setattr(obj.spec.metrics[0].resource.target, "average_utilization", 0),
            "spec.metrics[0].resource.target.averageUtilization: Invalid value: 0: must be greater than 0",
        ),
        (
            HORIZONTALPODAUTOSCALER,
            spec(behavior=HorizontalPodAutoscalerBehavior(scale_up=HPAScalingRules())),
            "spec.behavior.scaleUp.policies: Required value: must specify at least one Policy",
        ),
        (CONTROLLERREVISION, lambda obj: setattr(obj, "data", None), "data: Required value: data is mandatory"),
    ],
)
def test_what_is_wrong_is_said(kind: Kind[Any], edit: Edit, expected: str) -> None:
    assert expected in errors(kind, edit)


@pytest.mark.parametrize(
    ("kind", "edit", "expected"),
    [
        (
            STATEFULSET,
            spec(service_name="other"),
            "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', "
            "'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' "
            "are forbidden",
        ),
        (JOB, spec(completions=7), "spec.completions: Invalid value: 7: field is immutable"),
        (
            CONTROLLERREVISION,
            lambda obj: setattr(obj, "data", {"spec": {"x": 1}}),
            'data: Invalid value: {"spec":{"x":1}}: field is immutable',
        ),
    ],
)
def test_what_may_not_change(kind: Kind[Any], edit: Edit, expected: str) -> None:
    assert expected in errors(kind, edit, update=True)


def test_a_jobs_template_may_change_only_while_it_is_suspended_and_idle() -> None:
    def resources(obj: Any) -> None:
        obj.spec.template.spec.node_selector = {"disk": "ssd"}

    old = made(JOB)
    obj = copy_of(old)
    resources(obj)
    assert any("field is immutable" in str(error) for error in JOB.validate(obj, old))
    old.spec.suspend = obj.spec.suspend = True
    assert list(JOB.validate(obj, old)) == []
    old.status.active = 1
    assert any("field is immutable" in str(error) for error in JOB.validate(obj, old))


def test_a_job_gets_labels_and_a_selector_of_its_own() -> None:
    job = made(JOB)
    labels = job.spec.template.metadata.labels
    assert labels["batch.kubernetes.io/job-name"] == labels["job-name"] == "web"
    assert job.spec.selector.match_labels == {"batch.kubernetes.io/controller-uid": "u"}
    assert job.metadata.labels == labels


def test_labels_of_a_job_that_only_equal_its_templates_stay_as_they_are() -> None:
    job = new(JOB, "web", "default")
    job.metadata.uid = "u"
    job.metadata.labels, job.spec.template.metadata.labels = {"app": "web"}, {"app": "web"}
    JOB.default(job)
    JOB.prepare(job, None)
    assert job.metadata.labels == {"app": "web"}
    assert "job-name" in job.spec.template.metadata.labels


def test_the_server_counts_a_daemon_sets_templates() -> None:
    old = made(DAEMONSET)
    assert old.metadata.annotations[GENERATION] == "1"
    obj = copy_of(old)
    DAEMONSET.prepare(obj, old)
    assert obj.metadata.annotations[GENERATION] == "1"
    obj.spec.template.spec.host_network = True
    obj.metadata.annotations[GENERATION] = "77"
    DAEMONSET.prepare(obj, old)
    assert obj.metadata.annotations[GENERATION] == "2"
    for said, kept in (("3", "3"), ("0", "1"), ("x", "1")):
        obj.metadata.annotations[GENERATION] = said
        DAEMONSET.prepare(obj, None)
        assert obj.metadata.annotations[GENERATION] == kept


def status_errors(*conditions: str, **fields: Any) -> list[str]:
    old = made(JOB)
    old.status.start_time = "2026-01-01T00:00:00Z"
    obj = copy_of(old)
    obj.status.conditions = [JobCondition(type=kind, status="True") for kind in conditions]
    for name, value in fields.items():
        setattr(obj.status, name, value)
    return [str(error) for error in JOB.validate_status(obj, old)]


def test_the_status_of_a_job_must_make_sense() -> None:
    end = "2026-01-02T00:00:00Z"
    assert status_errors("SuccessCriteriaMet", "Complete", completion_time=end) == []
    assert "status.completionTime: Required value: completionTime is required for Complete jobs" in status_errors(
        "SuccessCriteriaMet", "Complete"
    )
    assert any("without the SuccessCriteriaMet" in error for error in status_errors("Complete", completion_time=end))
    assert any("without the FailureTarget" in error for error in status_errors("Failed"))
    assert any("active>0" in error for error in status_errors("FailureTarget", "Failed", active=1))
    assert any("more ready pods" in error for error in status_errors(ready=1))
    assert any("field is immutable for unsuspended" in error for error in status_errors(start_time=end))
    assert any("cannot decrease" not in error for error in status_errors(failed=-1))


@pytest.mark.parametrize(
    ("text", "total", "wrong"),
    [
        ("", 0, ""),
        ("0,2-4", 4, ""),
        ("3,1", 0, "non-increasing order, previous: 3, current: 1"),
        ("2-2", 0, "non-increasing order, previous: 2, current: 2"),
        ("9", 0, 'too large index: "9"'),
        ("x", 0, 'cannot convert string to integer for index: "x"'),
    ],
)
def test_index_texts(text: str, total: int, wrong: str) -> None:
    assert check_indexes(text, 5) == (total, wrong)


def test_indexes_in_both_lists() -> None:
    assert overlap("0-3", "3,4", 9) == 3
    assert overlap("0-2", "3,4", 9) is None
