"""Priority: a pod's number from its class's name.

Only the two system classes exist until PriorityClass is a kind here. Source: plugin/pkg/admission/priority.
"""

from __future__ import annotations

from tiphys.api.kinds import POD
from tiphys.apiserver.admission.refusal import refuse
from tiphys.apiserver.registry.interface import AdmissionRequest

SYSTEM_CLASSES = {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}
DEFAULT_POLICY = "PreemptLowerPriority"


class Priority:
    name = "Priority"

    async def admit(self, request: AdmissionRequest) -> None:
        if request.kind is not POD or request.subresource or request.obj is None:
            return
        spec = request.obj.spec
        if request.operation == "UPDATE":
            old = request.old.spec
            if spec.priority is None:
                spec.priority = old.priority
            if spec.preemption_policy is None:
                spec.preemption_policy = old.preemption_policy
            return
        if request.operation != "CREATE":
            return
        wanted = spec.priority_class_name
        if wanted and wanted not in SYSTEM_CLASSES:
            raise refuse(request, f"no PriorityClass with name {wanted} was found")
        priority = SYSTEM_CLASSES.get(wanted, 0)
        if spec.priority is not None and spec.priority != priority:
            raise refuse(
                request,
                f"the integer value of priority ({spec.priority}) must not be provided in pod spec; "
                f"priority admission controller computed {priority} from the given PriorityClass name",
            )
        spec.priority = priority
        if spec.preemption_policy is not None and spec.preemption_policy != DEFAULT_POLICY:
            raise refuse(
                request,
                f"the string value of PreemptionPolicy ({spec.preemption_policy}) must not be provided in pod spec; "
                f"priority admission controller computed {DEFAULT_POLICY} from the given PriorityClass name",
            )
        spec.preemption_policy = DEFAULT_POLICY

    async def validate(self, request: AdmissionRequest) -> None:
        return None
