"""TaintNodesByCondition: a new node is not ready until it says that it is.

Source: plugin/pkg/admission/nodetaint.
"""

from __future__ import annotations

from tiphys.api.kinds import NODE
from tiphys.api.kinds.core.references import Taint
from tiphys.apiserver.registry.interface import AdmissionRequest

NOT_READY = "node.kubernetes.io/not-ready"


class TaintNodesByCondition:
    name = "TaintNodesByCondition"

    async def admit(self, request: AdmissionRequest) -> None:
        if request.kind is not NODE or request.operation != "CREATE" or request.subresource:
            return
        taints = request.obj.spec.taints
        if not any(taint.key == NOT_READY and taint.effect == "NoSchedule" for taint in taints):
            taints.append(Taint(key=NOT_READY, effect="NoSchedule"))

    async def validate(self, request: AdmissionRequest) -> None:
        return None
