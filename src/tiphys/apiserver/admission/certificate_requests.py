"""Certificate signing requests: who asks is written into them, and the times of their conditions are.

Part of the kind's strategy upstream; here it needs the user and the clock, which admission has.
Source: pkg/registry/certificates/certificates/strategy.go.
"""

from __future__ import annotations

from typing import Any

from tiphys.api.kind import Kind
from tiphys.api.kinds import CERTIFICATESIGNINGREQUEST
from tiphys.apiserver.admission.plugin import Plugin
from tiphys.apiserver.registry.interface import AdmissionRequest
from tiphys.base.clock import Clock, rfc3339


class CertificateRequests(Plugin):
    """Cannot be disabled."""

    name = "CertificateRequests"

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def concerns(self, kind: Kind[Any], operation: str, subresource: str) -> bool:
        return kind == CERTIFICATESIGNINGREQUEST and operation in ("CREATE", "UPDATE")

    async def admit(self, request: AdmissionRequest) -> None:
        if request.operation == "CREATE" and not request.subresource:
            spec, user = request.obj.spec, request.user
            spec.username, spec.uid, spec.groups = user.name, user.uid, list(user.groups)
            spec.extra = {key: list(values) for key, values in user.extra.items()}
        elif request.subresource in ("approval", "status"):
            self._date(request.obj, request.old)

    def _date(self, obj: Any, old: Any) -> None:
        now = rfc3339(self._clock.now())
        for condition in obj.status.conditions:
            condition.last_update_time = condition.last_update_time or now
            if condition.last_transition_time is None:
                known = next(
                    (c for c in old.status.conditions if (c.type, c.status) == (condition.type, condition.status)), None
                )
                condition.last_transition_time = (known.last_transition_time if known is not None else None) or now
