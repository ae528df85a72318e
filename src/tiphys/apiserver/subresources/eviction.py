"""pods/eviction: a polite delete. It asks the pod's disruption budget first, and says in the pod's status that it was
evicted.

Pods that serve nobody (pending, over, going) are nobody's loss and need no budget. A pod that is not ready may go where
its budget is met without it, or says so; then only as it was looked at, lest it became ready meanwhile.
Source: pkg/registry/core/pod/storage/eviction.go.
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from tiphys.api import errors
from tiphys.api.errors import BadRequest, Conflict, Forbidden, TooManyRequests, Unclassified, object_conflict
from tiphys.api.kinds import EVICTION, POD, PODDISRUPTIONBUDGET
from tiphys.api.kinds.core.pod.facts import is_ready, is_terminal
from tiphys.api.kinds.core.pod.status import PodCondition
from tiphys.api.kinds.policy.budgets import SYNC_FAILED, allowed_condition, note_allowed
from tiphys.api.labels import selector_of
from tiphys.api.meta.schema import copy_of
from tiphys.api.meta.types import DeleteOptions, Preconditions, Status, StatusCause
from tiphys.apiserver.registry.interface import AdmissionRequest, ListOptions, WriteOptions
from tiphys.apiserver.verbs.context import Context
from tiphys.base.clock import rfc3339

DISRUPTED_MAX = 2000
"""Evictions that the budget's controller may be behind."""
RETRY_AFTER_S = 10
_REFUSED = "Cannot evict pod as it would violate the pod's disruption budget."
_SEVERAL = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."


async def evict(context: Context, namespace: str, name: str, eviction: Any, opts: WriteOptions) -> Status:
    """Raises NotFound, Conflict (preconditions), BadRequest; TooManyRequests where a budget forbids it."""
    delete = _delete_options(name, eviction, opts)
    dry_run = bool(delete.dry_run)
    if opts.admission is not None:
        request = AdmissionRequest(
            kind=POD, operation="CREATE", namespace=namespace, name=name, obj=eviction, old=None, user=opts.user,
            subresource="eviction", dry_run=dry_run,
        )  # fmt: skip
        await opts.admission.admit(request)
        await opts.admission.validate(request)
    quiet = replace(opts, admission=None, subresource="", dry_run=dry_run)
    pod = (await context.registry.get(POD, namespace, name)).obj
    budget = None if _needs_no_budget(pod) else await _budget(context, pod)
    as_seen = budget is not None and _is_unhealthy_enough(pod, budget)
    if budget is not None and not as_seen:
        await _count_down(context, pod, budget, quiet)
    pinned = as_seen and not (delete.preconditions and delete.preconditions.resource_version)
    if pinned:
        delete.preconditions = delete.preconditions or Preconditions()
        delete.preconditions.resource_version = pod.metadata.resource_version
    try:
        if not dry_run:
            await _mark(context, namespace, name, delete, quiet)
        await context.registry.delete(POD, namespace, name, delete, quiet)
    except Conflict:
        if pinned and budget is not None:
            raise _processing(budget.metadata.name) from None
        raise
    return Status(kind="Status", api_version="v1", status="Success")


def _delete_options(name: str, eviction: Any, opts: WriteOptions) -> DeleteOptions:
    if eviction.metadata.name and eviction.metadata.name != name:
        raise BadRequest("name in URL does not match name in Eviction object")
    stated = eviction.delete_options
    delete: DeleteOptions = copy_of(stated) if stated is not None else DeleteOptions()
    if delete.ignore_store_read_error_with_cluster_breaking_potential:
        why = "can not be set for pod eviction, try after removing the option"
        path = "deleteOptions.ignoreStoreReadErrorWithClusterBreakingPotential"
        raise errors.invalid_object(EVICTION.group, EVICTION.kind, name, [errors.invalid(path, True, why)])
    if opts.dry_run and not delete.dry_run:
        delete.dry_run = ["All"]
    return delete


# --- budgets


def _needs_no_budget(pod: Any) -> bool:
    return is_terminal(pod) or pod.status.phase == "Pending" or pod.metadata.deletion_timestamp is not None


async def _budget(context: Context, pod: Any) -> Any:
    """The budget that covers the pod, if any. Raises Unclassified where there are several."""
    page = await context.registry.list(PODDISRUPTIONBUDGET, pod.metadata.namespace, ListOptions())
    labels = pod.metadata.labels
    found = [entry.obj for entry in page.entries if selector_of(entry.obj.spec.selector).matches(labels)]
    if len(found) > 1:
        raise Unclassified(_SEVERAL)
    return found[0] if found else None


def _is_unhealthy_enough(pod: Any, budget: Any) -> bool:
    if is_ready(pod):
        return False
    status = budget.status
    always = budget.spec.unhealthy_pod_eviction_policy == "AlwaysAllow"
    return always or bool(status.current_healthy >= status.desired_healthy > 0)


async def _count_down(context: Context, pod: Any, budget: Any, opts: WriteOptions) -> None:
    now = rfc3339(context.clock.now())

    def counted(current: Any) -> Any:
        _check(current)
        changed = copy_of(current)
        changed.status.disruptions_allowed -= 1
        if changed.status.disruptions_allowed == 0:
            note_allowed(changed, now)
        changed.status.disrupted_pods[pod.metadata.name] = now
        return changed

    where = budget.metadata
    if opts.dry_run:
        _check(budget)
        return
    quiet = replace(opts, subresource="status")
    await context.registry.update(PODDISRUPTIONBUDGET, where.namespace, where.name, counted, quiet)


def _check(budget: Any) -> None:
    """Raises TooManyRequests, or Forbidden, unless the budget lets one more pod go."""
    name, status = budget.metadata.name, budget.status
    if status.observed_generation < budget.metadata.generation:
        raise _processing(name)
    group, plural = PODDISRUPTIONBUDGET.group, PODDISRUPTIONBUDGET.singular_name
    why = ""
    if status.disruptions_allowed < 0:
        why = "pdb disruptions allowed is negative"
    elif len(status.disrupted_pods) > DISRUPTED_MAX:
        why = "DisruptedPods map too big - too many evictions not confirmed by PDB controller"
    if why:
        text = f'{plural}.{group} "{name}" is forbidden: {why}'
        raise Forbidden(text, name=name, group=group, kind=plural)
    if status.disruptions_allowed == 0:
        raise TooManyRequests(_REFUSED, causes=[StatusCause(reason="DisruptionBudget", message=_why_not(budget))])


def _why_not(budget: Any) -> str:
    name, status = budget.metadata.name, budget.status
    condition = allowed_condition(budget)
    said = condition.message if condition is not None and condition.status == "False" else ""
    if said and condition is not None and condition.reason == SYNC_FAILED:
        return f"The disruption budget {name} does not allow evicting pods currently because it failed sync: {said}"
    if status.current_healthy <= status.desired_healthy:
        return (
            f"The disruption budget {name} needs {status.desired_healthy} healthy pods and has "
            f"{status.current_healthy} currently"
        )
    if said and condition is not None:
        return f"The disruption budget {name} does not allow evicting pods currently ({condition.reason}): {said}"
    return f"The disruption budget {name} does not allow evicting pods currently"


def _processing(name: str) -> TooManyRequests:
    text = f"The disruption budget {name} is still being processed by the server."
    cause = StatusCause(reason="DisruptionBudget", message=text)
    return TooManyRequests(_REFUSED, causes=[cause], retry_after_s=RETRY_AFTER_S)


# --- the pod


async def _mark(context: Context, namespace: str, name: str, delete: DeleteOptions, opts: WriteOptions) -> None:
    now = rfc3339(context.clock.now())
    wanted = delete.preconditions

    def marked(current: Any) -> Any:
        meta = current.metadata
        if wanted is not None and wanted.uid and wanted.uid != meta.uid:
            raise object_conflict(
                "", "Pod", name,
                f"the UID in the precondition ({wanted.uid}) does not match the UID in record ({meta.uid}). "
                "The object might have been deleted and then recreated",
            )  # fmt: skip
        if wanted is not None and wanted.resource_version and wanted.resource_version != meta.resource_version:
            raise object_conflict(
                "", "Pod", name,
                f"the ResourceVersion in the precondition ({wanted.resource_version}) does not match the "
                f"ResourceVersion in record ({meta.resource_version}). The object might have been modified",
            )  # fmt: skip
        pod = copy_of(current)
        pod.metadata.resource_version = ""
        condition = PodCondition(
            type="DisruptionTarget", status="True", reason="EvictionByEvictionAPI",
            message="Eviction API: evicting", last_transition_time=now,
        )  # fmt: skip
        pod.status.conditions = [c for c in pod.status.conditions if c.type != condition.type] + [condition]
        return pod

    entry, _ = await context.registry.update(POD, namespace, name, marked, replace(opts, subresource="status"))
    if wanted is not None and wanted.resource_version:
        # Our own mark moved the version on: the caller's precondition held until then.
        wanted.resource_version = str(entry.revision)
