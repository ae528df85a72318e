"""The types of Job. Source: staging/src/k8s.io/api/batch/v1/types.go."""

from typing import Annotated

from tiphys.api.kinds.core.pod.spec import PodTemplateSpec
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Int32, Struct, Time, empty_list, field, proto
from tiphys.api.meta.types import LabelSelector, ObjectMeta


class PodFailurePolicyOnExitCodesRequirement(Struct):
    """Exit codes that a rule is about."""

    container_name: Annotated[str | None, proto(1)] = None
    operator: Annotated[str, proto(2, required=True)] = field(default_factory=str)
    values: Annotated[list[Int32], proto(3, required=True, list_type="set")] = field(default_factory=empty_list)


class PodFailurePolicyOnPodConditionsPattern(Struct):
    """A pod condition that a rule is about."""

    type: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    status: Annotated[str, proto(2)] = field(default_factory=str)


class PodFailurePolicyRule(Struct):
    """What to do about pods that failed in one way."""

    action: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    on_exit_codes: Annotated[PodFailurePolicyOnExitCodesRequirement | None, proto(2)] = None
    on_pod_conditions: Annotated[list[PodFailurePolicyOnPodConditionsPattern], proto(3, list_type="atomic")] = []


class PodFailurePolicy(Struct):
    """What failed pods mean to the job."""

    rules: Annotated[list[PodFailurePolicyRule], proto(1, required=True, list_type="atomic")] = field(
        default_factory=empty_list
    )


class SuccessPolicyRule(Struct):
    """Which indexes, or how many, are enough."""

    succeeded_indexes: Annotated[str | None, proto(1)] = None
    succeeded_count: Annotated[Int32 | None, proto(2)] = None


class SuccessPolicy(Struct):
    """When a job is done before all of its indexes are."""

    rules: Annotated[list[SuccessPolicyRule], proto(1, required=True, list_type="atomic")] = field(
        default_factory=empty_list
    )


class JobSpec(Struct):
    """How many pods must succeed, how many run at once, and when to give up."""

    parallelism: Annotated[Int32 | None, proto(1)] = None
    completions: Annotated[Int32 | None, proto(2)] = None
    active_deadline_seconds: Annotated[int | None, proto(3)] = None
    pod_failure_policy: Annotated[PodFailurePolicy | None, proto(11)] = None
    success_policy: Annotated[SuccessPolicy | None, proto(16)] = None
    backoff_limit: Annotated[Int32 | None, proto(7)] = None
    backoff_limit_per_index: Annotated[Int32 | None, proto(12)] = None
    max_failed_indexes: Annotated[Int32 | None, proto(13)] = None
    selector: Annotated[LabelSelector | None, proto(4, atomic=True)] = None
    manual_selector: Annotated[bool | None, proto(5)] = None
    template: Annotated[PodTemplateSpec, proto(6, required=True)] = field(default_factory=PodTemplateSpec)
    ttl_seconds_after_finished: Annotated[Int32 | None, proto(8)] = None
    completion_mode: Annotated[str | None, proto(9)] = None
    suspend: Annotated[bool | None, proto(10)] = None
    pod_replacement_policy: Annotated[str | None, proto(14)] = None
    managed_by: Annotated[str | None, proto(15)] = None


class JobTemplateSpec(Struct):
    """The job that is made at each run."""

    metadata: Annotated[ObjectMeta, proto(1)] = field(default_factory=ObjectMeta)
    spec: Annotated[JobSpec, proto(2)] = field(default_factory=JobSpec)


class JobCondition(Struct):
    """One aspect of a Job's state."""

    type: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    status: Annotated[str, proto(2, required=True)] = field(default_factory=str)
    last_probe_time: Annotated[Time | None, proto(3)] = None
    last_transition_time: Annotated[Time | None, proto(4)] = None
    reason: Annotated[str, proto(5)] = ""
    message: Annotated[str, proto(6)] = ""


class UncountedTerminatedPods(Struct):
    """Ended pods that the counters do not hold yet."""

    succeeded: Annotated[list[str], proto(1, list_type="set")] = []
    failed: Annotated[list[str], proto(2, list_type="set")] = []


class JobStatus(Struct):
    """How many pods run, succeeded and failed, and whether the job is over."""

    conditions: Annotated[list[JobCondition], proto(1, merge_key="type", list_type="atomic")] = []
    start_time: Annotated[Time | None, proto(2)] = None
    completion_time: Annotated[Time | None, proto(3)] = None
    active: Annotated[Int32, proto(4)] = 0
    succeeded: Annotated[Int32, proto(5)] = 0
    failed: Annotated[Int32, proto(6)] = 0
    terminating: Annotated[Int32 | None, proto(11)] = None
    completed_indexes: Annotated[str, proto(7)] = ""
    failed_indexes: Annotated[str | None, proto(10)] = None
    uncounted_terminated_pods: Annotated[UncountedTerminatedPods | None, proto(8)] = None
    ready: Annotated[Int32 | None, proto(9)] = None


class Job(Resource):
    """Runs pods until enough of them have succeeded."""

    spec: Annotated[JobSpec, proto(2)] = field(default_factory=JobSpec)
    status: Annotated[JobStatus, proto(3)] = field(default_factory=JobStatus)
