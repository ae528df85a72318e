"""What failures and successes mean to a Job: its pod failure policy, its success policy, its back-off.

Source: pkg/controller/job/{pod_failure_policy,success_policy,backoff_utils}.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from tiphys.api.kinds.batch.job_schema import Job, PodFailurePolicyOnExitCodesRequirement, PodFailurePolicyRule
from tiphys.api.kinds.core.pod.facts import is_sidecar, ready_condition
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.kinds.core.pod.status import ContainerStatus
from tiphys.base.clock import parse_rfc3339
from tiphys.controllers._job_indexes import Indexes

BACKOFF_S, BACKOFF_CAP_S = 10.0, 600.0


class Verdict(NamedTuple):
    """What the pod failure policy says of a failed pod."""

    counts: bool = True
    """Whether the failure counts against the back-off limit."""
    action: str = ""
    """Of the rule that matched; empty: none did."""
    message: str = ""
    """Why the whole job fails; empty: it does not."""


def judge(job: Job, pod: Pod) -> Verdict:
    policy = job.spec.pod_failure_policy
    for index, rule in enumerate(policy.rules if policy is not None else ()):
        why = _matched(rule, pod)
        if why is None:
            continue
        message = f"{why} matching {rule.action} rule at index {index}" if rule.action == "FailJob" else ""
        return Verdict(rule.action != "Ignore", rule.action, message)
    return Verdict()


def _matched(rule: PodFailurePolicyRule, pod: Pod) -> str | None:
    """How the pod failed, if the rule is about that."""
    name = f"{pod.metadata.namespace}/{pod.metadata.name}"
    if rule.on_exit_codes is not None:
        for status in (*pod.status.container_statuses, *pod.status.init_container_statuses):
            if (code := _exit_code(rule.on_exit_codes, status)) is not None:
                return f"Container {status.name} for pod {name} failed with exit code {code}"
        return None
    for condition in pod.status.conditions:
        if any((each.type, each.status) == (condition.type, condition.status) for each in rule.on_pod_conditions):
            return f"Pod {name} has condition {condition.type}"
    return None


def _exit_code(requirement: PodFailurePolicyOnExitCodesRequirement, status: ContainerStatus) -> int | None:
    ended = status.state.terminated if status.state is not None else None
    if ended is None or ended.exit_code == 0 or requirement.container_name not in (None, status.name):
        return None
    listed = ended.exit_code in requirement.values
    wanted = {"In": listed, "NotIn": not listed}.get(requirement.operator, False)
    return ended.exit_code if wanted else None


def success_message(job: Job, succeeded: Indexes) -> str:
    """Why the succeeded indexes are enough; empty: they are not."""
    policy = job.spec.success_policy
    if policy is None or not succeeded:
        return ""
    for index, rule in enumerate(policy.rules):
        enough = rule.succeeded_count
        if rule.succeeded_indexes is not None:
            wanted = Indexes.parse(rule.succeeded_indexes, job.spec.completions or 0)
            found = wanted.common(succeeded)
            met = bool(wanted) and (found == len(wanted) or (enough is not None and found >= enough))
        else:
            met = enough is not None and len(succeeded) >= enough
        if met:
            return f"Matched rules at index {index}"
    return ""


# --- back-off


def finished_at(pod: Pod) -> datetime:
    """When the pod ended, as well as its status tells."""
    texts = [_container_end(pod)]
    condition = ready_condition(pod)
    if condition is not None and condition.status == "False":
        texts.append(condition.last_transition_time)
    text = next((text for text in texts if text), None)
    if text:
        return parse_rfc3339(text)
    if pod.metadata.deletion_timestamp:
        grace_s = pod.metadata.deletion_grace_period_seconds or 0
        return parse_rfc3339(pod.metadata.deletion_timestamp) - timedelta(seconds=grace_s)
    return parse_rfc3339(pod.metadata.creation_timestamp or "1970-01-01T00:00:00Z")


def _container_end(pod: Pod) -> str | None:
    """When the last container ended; None while one has not."""
    sidecars = {container.name for container in pod.spec.init_containers if is_sidecar(container)}
    statuses = [
        *pod.status.container_statuses,
        *(each for each in pod.status.init_container_statuses if each.name in sidecars),
    ]
    ends = [each.state.terminated.finished_at if each.state and each.state.terminated else None for each in statuses]
    return max(filter(None, ends)) if ends and all(ends) else None


def failures_since_success(failed: Iterable[Pod], succeeded: Iterable[Pod]) -> tuple[int, datetime | None]:
    """How many failed after the last that succeeded, and when the last of them did."""
    last_success = max(map(finished_at, succeeded), default=None)
    times = [moment for moment in map(finished_at, failed) if last_success is None or moment > last_success]
    return len(times), max(times, default=None)


def delay_s(failures: int, last: datetime | None, now: datetime) -> float:
    """How long to wait before the next pod: 10 s after the first failure, doubled with each, up to 10 minutes."""
    if failures == 0 or last is None:
        return 0.0
    backoff_s = min(BACKOFF_S * 2.0 ** min(failures - 1, 30), BACKOFF_CAP_S)
    return max(0.0, backoff_s - (now - last).total_seconds())


def restarts(pods: Sequence[Pod]) -> int:
    """Restarts of all containers of pods that are not over."""
    return sum(
        status.restart_count
        for pod in pods
        if pod.status.phase in ("Running", "Pending")
        for status in (*pod.status.init_container_statuses, *pod.status.container_statuses)
    )
