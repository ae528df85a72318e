"""Jobs and cron jobs as `kubectl describe` shows them."""

from __future__ import annotations

from typing import Any

from tiphys.kubectl.describe.workloads import head, template
from tiphys.kubectl.describe.writer import NONE, Writer, parsed, selector_text, when

_UNSET = "<unset>"


def job(out: Writer, obj: dict[str, Any]) -> None:
    """Everything but the events."""
    spec, status = obj["spec"], obj.get("status") or {}
    head(out, obj, spec.get("selector"))
    out.field(0, "Parallelism", spec.get("parallelism", _UNSET))
    out.field(0, "Completions", spec.get("completions", _UNSET))
    out.field(0, "Completion Mode", spec.get("completionMode", "NonIndexed"))
    out.field(0, "Suspend", _said(spec.get("suspend")))
    out.field(0, "Backoff Limit", spec.get("backoffLimit", _UNSET))
    if "ttlSecondsAfterFinished" in spec:
        out.field(0, "TTL Seconds After Finished", spec["ttlSecondsAfterFinished"])
    begun, done = status.get("startTime"), status.get("completionTime")
    if begun:
        out.field(0, "Start Time", when(begun))
    if done:
        out.field(0, "Completed At", when(done))
    if begun and done:
        from tiphys.api.duration import human_duration

        out.field(0, "Duration", human_duration((parsed(done) - parsed(begun)).total_seconds()))
    _deadline(out, spec)
    counts = f"{status.get('active', 0)} Active ({status.get('ready', 0)} Ready)"
    out.field(
        0, "Pods Statuses", f"{counts} / {status.get('succeeded', 0)} Succeeded / {status.get('failed', 0)} Failed"
    )
    if spec.get("completionMode") == "Indexed":
        out.field(0, "Completed Indexes", status.get("completedIndexes") or NONE)
    template(out, spec["template"])


def cron_job(out: Writer, obj: dict[str, Any]) -> None:
    """Everything but the events."""
    metadata, spec, status = obj["metadata"], obj["spec"], obj.get("status") or {}
    out.field(0, "Name", metadata["name"])
    out.field(0, "Namespace", metadata["namespace"])
    out.map(0, "Labels", metadata.get("labels"))
    out.annotations(0, metadata.get("annotations"))
    out.field(0, "Schedule", spec["schedule"])
    out.field(0, "Time Zone", spec.get("timeZone", _UNSET))
    out.field(0, "Concurrency Policy", spec.get("concurrencyPolicy", ""))
    out.field(0, "Suspend", _said(spec.get("suspend")))
    out.field(0, "Successful Job History Limit", spec.get("successfulJobsHistoryLimit", _UNSET))
    out.field(0, "Failed Job History Limit", spec.get("failedJobsHistoryLimit", _UNSET))
    seconds = spec.get("startingDeadlineSeconds")
    out.field(0, "Starting Deadline Seconds", _UNSET if seconds is None else f"{seconds}s")
    made = spec["jobTemplate"]["spec"]
    out.field(0, "Selector", selector_text(made["selector"]) if made.get("selector") else _UNSET)
    out.field(0, "Parallelism", made.get("parallelism", _UNSET))
    out.field(0, "Completions", made.get("completions", _UNSET))
    _deadline(out, made)
    template(out, made["template"])
    last = status.get("lastScheduleTime")
    out.field(0, "Last Schedule Time", when(last) if last else _UNSET)
    active = ", ".join(each["name"] for each in status.get("active") or ())
    out.field(0, "Active Jobs", active or NONE)


def _deadline(out: Writer, spec: dict[str, Any]) -> None:
    if "activeDeadlineSeconds" in spec:
        out.field(0, "Active Deadline Seconds", f"{spec['activeDeadlineSeconds']}s")


def _said(value: bool | None) -> str:
    return _UNSET if value is None else str(value)
