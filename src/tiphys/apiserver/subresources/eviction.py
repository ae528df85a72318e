"""pods/eviction: a polite delete, which says in the pod's status that it was evicted.

PodDisruptionBudgets are not a kind here yet, so that none can stand in the way.
Source: pkg/registry/core/pod/storage/eviction.go.
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from tiphys.api.errors import BadRequest, object_conflict
from tiphys.api.kinds import POD
from tiphys.api.kinds.core.pod.status import PodCondition
from tiphys.api.meta.schema import copy_of
from tiphys.api.meta.types import DeleteOptions, Status
from tiphys.apiserver.registry.interface import AdmissionRequest, WriteOptions
from tiphys.apiserver.verbs.context import Context
from tiphys.base.clock import rfc3339


async def evict(context: Context, namespace: str, name: str, eviction: Any, opts: WriteOptions) -> Status:
    """Raises NotFound, Conflict (preconditions), BadRequest."""
    if eviction.metadata.name and eviction.metadata.name != name:
        raise BadRequest("name in URL does not match name in Eviction object")
    stated = eviction.delete_options
    delete: DeleteOptions = copy_of(stated) if stated is not None else DeleteOptions()
    dry_run = opts.dry_run or bool(delete.dry_run)
    if opts.admission is not None:
        request = AdmissionRequest(
            kind=POD, operation="CREATE", namespace=namespace, name=name, obj=eviction, old=None, user=opts.user,
            subresource="eviction", dry_run=dry_run,
        )  # fmt: skip
        await opts.admission.admit(request)
        await opts.admission.validate(request)
    quiet = replace(opts, admission=None, subresource="", dry_run=dry_run)
    await context.registry.get(POD, namespace, name)
    if not dry_run:
        await _mark(context, namespace, name, delete, quiet)
    await context.registry.delete(POD, namespace, name, delete, quiet)
    return Status(kind="Status", api_version="v1", status="Success")


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
