"""DefaultTolerationSeconds: a pod stays five minutes on a node that is not ready or unreachable.

Source: plugin/pkg/admission/defaulttolerationseconds.
"""

from __future__ import annotations

from typing import Any

from tiphys.api.kind import Kind
from tiphys.api.kinds import POD
from tiphys.api.kinds.core.references import Toleration
from tiphys.apiserver.admission.plugin import Plugin
from tiphys.apiserver.registry.interface import AdmissionRequest

NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"
SECONDS = 300


class DefaultTolerationSeconds(Plugin):
    name = "DefaultTolerationSeconds"

    def concerns(self, kind: Kind[Any], operation: str, subresource: str) -> bool:
        return kind is POD and operation in ("CREATE", "UPDATE") and not subresource

    async def admit(self, request: AdmissionRequest) -> None:
        tolerations = request.obj.spec.tolerations
        for key in (NOT_READY, UNREACHABLE):
            if not any(t.key in (key, "") and t.effect in ("NoExecute", "") for t in tolerations):
                tolerations.append(
                    Toleration(key=key, operator="Exists", effect="NoExecute", toleration_seconds=SECONDS)
                )
