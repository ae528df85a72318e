"""TaintNodesByCondition: a new node is not ready until it says that it is.

Source: plugin/pkg/admission/nodetaint.
"""

from __future__ import annotations

from typing import Any

from tiphys.api.kind import Kind
from tiphys.api.kinds import NODE
from tiphys.api.kinds.core.references import Taint
from tiphys.apiserver.admission.plugin import Plugin
from tiphys.apiserver.registry.interface import AdmissionRequest

NOT_READY = "node.kubernetes.io/not-ready"


class TaintNodesByCondition(Plugin):
    name = "TaintNodesByCondition"

    def concerns(self, kind: Kind[Any], operation: str, subresource: str) -> bool:
        return kind is NODE and operation == "CREATE" and not subresource

    async def admit(self, request: AdmissionRequest) -> None:
        taints = request.obj.spec.taints
        if not any(taint.key == NOT_READY and taint.effect == "NoSchedule" for taint in taints):
            taints.append(Taint(key=NOT_READY, effect="NoSchedule"))
