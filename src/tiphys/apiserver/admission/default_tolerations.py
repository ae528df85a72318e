"""DefaultTolerationSeconds: a pod stays five minutes on a node that is not ready or unreachable.

Source: plugin/pkg/admission/defaulttolerationseconds.
"""

from __future__ import annotations

from tiphys.api.kinds import POD
from tiphys.api.kinds.core.references import Toleration
from tiphys.apiserver.registry.interface import AdmissionRequest

NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"
SECONDS = 300


class DefaultTolerationSeconds:
    name = "DefaultTolerationSeconds"

    async def admit(self, request: AdmissionRequest) -> None:
        if request.kind is not POD or request.subresource or request.operation not in ("CREATE", "UPDATE"):
            return
        tolerations = request.obj.spec.tolerations
        for key in (NOT_READY, UNREACHABLE):
            if not any(t.key in (key, "") and t.effect in ("NoExecute", "") for t in tolerations):
                tolerations.append(
                    Toleration(key=key, operator="Exists", effect="NoExecute", toleration_seconds=SECONDS)
                )

    async def validate(self, request: AdmissionRequest) -> None:
        return None
