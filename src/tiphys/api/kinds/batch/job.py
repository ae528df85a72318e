"""Job: defaults, strategy, columns. Source: pkg/apis/batch/v1/defaults.go, pkg/registry/batch/job/strategy.go."""

from __future__ import annotations

from datetime import datetime

from tiphys.api.duration import human_duration
from tiphys.api.kind import Column, Kind, Subresource
from tiphys.api.kinds.batch.job_schema import Job, JobSpec, JobStatus
from tiphys.api.kinds.batch.job_status_validation import validate_status
from tiphys.api.kinds.batch.job_validation import JOB_NAME_LABELS, UID_LABEL, UID_LABELS, validate
from tiphys.api.kinds.columns import AGE, NAME, template_columns
from tiphys.api.kinds.core.pod.defaults import default_spec
from tiphys.api.labels import text_of
from tiphys.api.meta.schema import copy_of
from tiphys.api.meta.types import LabelSelector
from tiphys.base.clock import parse_rfc3339

BACKOFF_LIMIT, NO_LIMIT = 6, 2**31 - 1


def default_job_spec(spec: JobSpec) -> None:
    """What a job and a cron job's template both get."""
    policy = spec.pod_failure_policy
    for rule in policy.rules if policy is not None else ():
        for pattern in rule.on_pod_conditions:
            pattern.status = pattern.status or "True"
    default_spec(spec.template.spec)


def _default(obj: Job) -> None:
    spec = obj.spec
    if spec.completions is None and spec.parallelism is None:
        spec.completions = 1
    if spec.parallelism is None:
        spec.parallelism = 1
    if spec.backoff_limit is None:
        spec.backoff_limit = BACKOFF_LIMIT if spec.backoff_limit_per_index is None else NO_LIMIT
    # One mapping, not two that are equal: what `prepare` adds to the template's is then the job's, too.
    obj.metadata.labels = obj.metadata.labels or spec.template.metadata.labels
    spec.completion_mode = spec.completion_mode or "NonIndexed"
    spec.suspend = bool(spec.suspend)
    if spec.pod_replacement_policy is None:
        spec.pod_replacement_policy = "TerminatingOrFailed" if spec.pod_failure_policy is None else "Failed"
    spec.manual_selector = bool(spec.manual_selector)
    default_job_spec(spec)


def _prepare(obj: Job, old: Job | None) -> None:
    if old is not None:
        obj.status = copy_of(old.status)
        return
    obj.status = JobStatus()
    if not obj.spec.manual_selector:
        _generate_selector(obj)


def _generate_selector(obj: Job) -> None:
    """Pods are told from those of other jobs by the job's UID. Labels that the job took from its template follow."""
    meta, template = obj.metadata, obj.spec.template.metadata
    follows = meta.labels is template.labels
    for label in JOB_NAME_LABELS:
        template.labels.setdefault(label, meta.name)
    for label in UID_LABELS:
        template.labels.setdefault(label, meta.uid)
    if follows:
        meta.labels = dict(template.labels)
    selector = obj.spec.selector = obj.spec.selector or LabelSelector()
    selector.match_labels.setdefault(UID_LABEL, meta.uid)


def _prepare_status(obj: Job, old: Job) -> None:
    obj.spec = copy_of(old.spec)


# --- columns

_STATES = ("Complete", "Failed", "Suspended", "FailureTarget", "SuccessCriteriaMet")


def _state(obj: Job) -> str:
    met = [name for name in _STATES if any(c.type == name and c.status == "True" for c in obj.status.conditions)]
    if obj.metadata.deletion_timestamp is not None and not {"Complete", "Failed"} & set(met):
        return "Terminating"
    return met[0] if met else "Running"


def _completions(obj: Job) -> str:
    done, parallelism = obj.status.succeeded, obj.spec.parallelism or 0
    if obj.spec.completions is not None:
        return f"{done}/{obj.spec.completions}"
    return f"{done}/1 of {parallelism}" if parallelism > 1 else f"{done}/1"


def _duration(obj: Job, now: datetime) -> str:
    start, end = obj.status.start_time, obj.status.completion_time
    if start is None:
        return ""
    return human_duration(((parse_rfc3339(end) if end else now) - parse_rfc3339(start)).total_seconds())


COLUMNS: tuple[Column[Job], ...] = (
    NAME,
    Column("Status", "string", _state, "What has become of it."),
    Column("Completions", "string", _completions, "Pods that succeeded, of all that must."),
    Column("Duration", "string", lambda _: "", "How long it has run, or ran.", cell_at=_duration),
    AGE,
    *template_columns(lambda obj: obj.spec.template, lambda obj: text_of(obj.spec.selector)),
)


JOB = Kind(
    group="batch",
    version="v1",
    kind="Job",
    plural="jobs",
    schema=Job,
    categories=("all",),
    subresources=(Subresource("status", ("get", "patch", "update")),),
    orphans=True,
    generation=True,
    fields={"status.successful": lambda obj: str(obj.status.succeeded)},
    default=_default,
    prepare=_prepare,
    prepare_status=_prepare_status,
    validate=validate,
    validate_status=validate_status,
    columns=COLUMNS,
)
