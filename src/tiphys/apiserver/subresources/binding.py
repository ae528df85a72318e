"""pods/binding: the scheduler's decision becomes `spec.nodeName`, once.

Source: pkg/registry/core/pod/storage/storage.go (BindingREST).
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from tiphys.api import errors
from tiphys.api.errors import BadRequest, object_conflict
from tiphys.api.kinds import POD
from tiphys.api.kinds.core.pod.status import PodCondition
from tiphys.api.meta.types import Status
from tiphys.apiserver.registry.interface import AdmissionRequest, WriteOptions
from tiphys.apiserver.verbs.context import Context
from tiphys.base.clock import rfc3339


async def bind(context: Context, namespace: str, name: str, binding: Any, opts: WriteOptions) -> Status:
    """Raises Conflict where the pod is bound, leaving or gated; NotFound; BadRequest for a strange target."""
    if binding.metadata.name and binding.metadata.name != name:
        raise BadRequest("name in URL does not match name in Binding object")
    _check_target(binding.target)
    if opts.admission is not None:
        request = AdmissionRequest(
            kind=POD, operation="CREATE", namespace=namespace, name=name, obj=binding, old=None, user=opts.user,
            subresource="binding", dry_run=opts.dry_run, warnings=opts.warnings, annotations=opts.annotations,
        )  # fmt: skip
        await opts.admission.admit(request)
        await opts.admission.validate(request)
    now = rfc3339(context.clock.now())

    def bound(current: Any) -> Any:
        _check_unbound(current, name)
        if binding.metadata.resource_version not in ("", current.metadata.resource_version):
            raise object_conflict("", "pods/binding", name, "the pod has been modified")
        # Only what changes is new; the rest is shared with the pod as it was.
        meta, status = current.metadata, current.status
        return replace(
            current,
            metadata=replace(
                meta,
                annotations=meta.annotations | binding.metadata.annotations,
                labels=meta.labels | binding.metadata.labels,
            ),
            spec=replace(current.spec, node_name=binding.target.name),
            status=replace(status, nominated_node_name="", conditions=_scheduled(status.conditions, now)),
        )

    # Admission has seen the binding; the pod's own update is the server's doing.
    await context.registry.rewrite(POD, namespace, name, bound, uid=binding.metadata.uid, dry_run=opts.dry_run)
    return Status(kind="Status", api_version="v1", status="Success")


def _check_target(target: Any) -> None:
    if target.kind not in ("", "Node"):
        raise BadRequest(str(errors.not_supported("target.kind", target.kind, ("Node", "<empty>"))))
    if not target.name:
        raise BadRequest(str(errors.required("target.name")))


def _check_unbound(pod: Any, name: str) -> None:
    why = ""
    if pod.metadata.deletion_timestamp is not None:
        why = f"pod {name} is being deleted, cannot be assigned to a host"
    elif pod.spec.node_name:
        why = f'pod {name} is already assigned to node "{pod.spec.node_name}"'
    elif pod.spec.scheduling_gates:
        why = f"pod {name} has non-empty .spec.schedulingGates"
    if why:
        raise object_conflict("", "pods/binding", name, why)


def _scheduled(conditions: list[PodCondition], now: str) -> list[PodCondition]:
    """The conditions, PodScheduled being true; its time is that of the change."""
    known = next((c for c in conditions if c.type == "PodScheduled"), None)
    if known is None:
        return [*conditions, PodCondition(type="PodScheduled", status="True", last_transition_time=now)]
    since = known.last_transition_time if known.status == "True" else now
    met = replace(known, status="True", reason="", message="", last_transition_time=since)
    return [met if c is known else c for c in conditions]
