"""RuntimeClass: a pod gets its class's overhead, node selector and tolerations.

Source: plugin/pkg/admission/runtimeclass.
"""

from __future__ import annotations

from typing import Any

from tiphys.api.kind import Kind
from tiphys.api.kinds import POD, RUNTIMECLASS
from tiphys.api.meta.schema import copy_of
from tiphys.apiserver.admission.plugin import Plugin
from tiphys.apiserver.admission.refusal import refuse
from tiphys.apiserver.admission.tolerations import merged
from tiphys.apiserver.authz.rbac import Caches
from tiphys.apiserver.registry.interface import AdmissionRequest
from tiphys.base import quantity


class RuntimeClassPlugin(Plugin):
    name = "RuntimeClass"

    def __init__(self, caches: Caches) -> None:
        self._classes = caches.cache_of(RUNTIMECLASS)

    def concerns(self, kind: Kind[Any], operation: str, subresource: str) -> bool:
        return kind is POD and operation == "CREATE" and not subresource

    def _class(self, request: AdmissionRequest) -> Any:
        wanted = request.obj.spec.runtime_class_name
        if wanted is None:
            return None
        entry = self._classes.get("", wanted)
        if entry is None:
            raise refuse(request, f'pod rejected: RuntimeClass "{wanted}" not found')
        return entry.obj

    async def admit(self, request: AdmissionRequest) -> None:
        found = self._class(request)
        if found is None:
            return
        spec = request.obj.spec
        if found.overhead is not None:
            if spec.overhead and not _equal(spec.overhead, found.overhead.pod_fixed):
                raise refuse(request, "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead")
            spec.overhead = dict(found.overhead.pod_fixed)
        if found.scheduling is not None:
            for key, value in found.scheduling.node_selector.items():
                own = spec.node_selector.get(key, value)
                if own != value:
                    raise refuse(
                        request,
                        f"conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value}; "
                        f"pod.spec.nodeSelector[{key}] = {own}",
                    )
                spec.node_selector[key] = value
            more = [copy_of(toleration) for toleration in found.scheduling.tolerations]
            spec.tolerations = merged(spec.tolerations, more)

    async def validate(self, request: AdmissionRequest) -> None:
        found, overhead = self._class(request), request.obj.spec.overhead
        if found is not None and found.overhead is not None:
            if not _equal(overhead, found.overhead.pod_fixed):
                raise refuse(request, "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead")
        elif overhead:
            raise refuse(request, "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead")


def _equal(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return a.keys() == b.keys() and all(quantity.parse(a[name]) == quantity.parse(b[name]) for name in a)
