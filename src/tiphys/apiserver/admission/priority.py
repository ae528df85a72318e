"""Priority: a pod's number and preemption policy from its class; at most one class is the default.

Source: plugin/pkg/admission/priority.
"""

from __future__ import annotations

from typing import Any

from tiphys.api.kind import Kind
from tiphys.api.kinds import POD, PRIORITYCLASS
from tiphys.apiserver.admission.plugin import Plugin
from tiphys.apiserver.admission.refusal import refuse
from tiphys.apiserver.authz.rbac import Caches
from tiphys.apiserver.registry.interface import AdmissionRequest

DEFAULT_POLICY = "PreemptLowerPriority"


class Priority(Plugin):
    name = "Priority"

    def __init__(self, caches: Caches) -> None:
        self._classes = caches.cache_of(PRIORITYCLASS)

    def concerns(self, kind: Kind[Any], operation: str, subresource: str) -> bool:
        return kind in (POD, PRIORITYCLASS) and operation in ("CREATE", "UPDATE") and not subresource

    async def admit(self, request: AdmissionRequest) -> None:
        if request.kind is not POD:
            return
        spec = request.obj.spec
        if request.operation == "UPDATE":
            old = request.old.spec
            if spec.priority is None:
                spec.priority = old.priority
            if spec.preemption_policy is None:
                spec.preemption_policy = old.preemption_policy
            return
        name, priority, policy = self._established(request, spec.priority_class_name)
        spec.priority_class_name = name
        if spec.priority is not None and spec.priority != priority:
            raise refuse(
                request,
                f"the integer value of priority ({spec.priority}) must not be provided in pod spec; "
                f"priority admission controller computed {priority} from the given PriorityClass name",
            )
        spec.priority = priority
        if policy is None:
            return
        if spec.preemption_policy is not None and spec.preemption_policy != policy:
            raise refuse(
                request,
                f"the string value of PreemptionPolicy ({spec.preemption_policy}) must not be provided in pod spec; "
                f"priority admission controller computed {policy} from the given PriorityClass name",
            )
        spec.preemption_policy = policy

    def _established(self, request: AdmissionRequest, wanted: str) -> tuple[str, int, str | None]:
        """(class, priority, preemption policy)."""
        if wanted:
            entry = self._classes.get("", wanted)
            if entry is None:
                raise refuse(request, f"no PriorityClass with name {wanted} was found")
            found = entry.obj
        else:
            found = self._default()
            if found is None:
                return "", 0, DEFAULT_POLICY
        return found.metadata.name, found.value, found.preemption_policy

    def _default(self) -> Any:
        """The default class; should there be several, the lowest."""
        defaults = [entry.obj for entry in self._classes.entries() if entry.obj.global_default]
        return min(defaults, key=lambda found: found.value) if defaults else None

    async def validate(self, request: AdmissionRequest) -> None:
        if request.kind is not PRIORITYCLASS or not request.obj.global_default:
            return
        default = self._default()
        if default is None or (request.operation == "UPDATE" and default.metadata.name == request.obj.metadata.name):
            return
        raise refuse(
            request, f"PriorityClass {default.metadata.name} is already marked as default. Only one default can exist"
        )
