"""namespaces/finalize, pods/ephemeralcontainers, pods/resize, certificatesigningrequests/approval.

What travels is the parent object, of which one part may change.
"""

from __future__ import annotations

from typing import Any

from tiphys.api.kind import Kind
from tiphys.api.kinds import CERTIFICATESIGNINGREQUEST, NAMESPACE, POD
from tiphys.apiserver.chain.exchange import Handler
from tiphys.apiserver.verbs.context import Context
from tiphys.apiserver.verbs.resources import ResourceHandlers
from tiphys.apiserver.verbs.router import Router

_PARTS: tuple[tuple[Kind[Any], str], ...] = (
    (NAMESPACE, "finalize"),
    (POD, "ephemeralcontainers"),
    (POD, "resize"),
    (CERTIFICATESIGNINGREQUEST, "approval"),
)


def install(router: Router, context: Context) -> None:
    for kind, name in _PARTS:
        handlers = ResourceHandlers(context, kind, name)
        table: dict[str, Handler] = {"get": handlers.get, "update": handlers.update, "patch": handlers.patch}
        declared = next((s for s in kind.subresources if s.name == name), None)
        for verb in declared.verbs if declared is not None else ():
            router.add(kind, name, verb, table[verb])
