"""Small plugins on pods and services, most of them off unless --enable-admission-plugins names them.

ExtendedResourceToleration, AlwaysPullImages, LimitPodHardAntiAffinityTopology, PodTopologyLabels,
DenyServiceExternalIPs. Source: plugin/pkg/admission/{extendedresourcetoleration,alwayspullimages,antiaffinity,
podtopologylabels,network/denyserviceexternalips}.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tiphys.api.errors import not_supported
from tiphys.api.kind import Kind
from tiphys.api.kinds import NODE, POD, SERVICE
from tiphys.api.kinds.core.references import Toleration
from tiphys.api.quota.evaluators import is_native
from tiphys.apiserver.admission.plugin import Plugin
from tiphys.apiserver.admission.refusal import refuse
from tiphys.apiserver.authz.rbac import Caches
from tiphys.apiserver.registry.interface import AdmissionRequest

_ALWAYS = "Always"
_HOSTNAME = "kubernetes.io/hostname"
_TOPOLOGY = ("topology.kubernetes.io/zone", "topology.kubernetes.io/region")


class ExtendedResourceToleration(Plugin):
    """A pod that asks for `example.com/gpu` tolerates the taint of that name."""

    name = "ExtendedResourceToleration"

    def concerns(self, kind: Kind[Any], operation: str, subresource: str) -> bool:
        return kind is POD and operation in ("CREATE", "UPDATE") and not subresource

    async def admit(self, request: AdmissionRequest) -> None:
        spec = request.obj.spec
        asked = {
            name
            for container in (*spec.containers, *spec.init_containers)
            for name in container.resources.requests
            if not is_native(name) and not name.startswith("requests.")
        }
        for name in sorted(asked):
            wanted = Toleration(key=name, operator="Exists", effect="NoSchedule")
            spec.tolerations = [t for t in spec.tolerations if not _same_taint(t, wanted)] + [wanted]


def _same_taint(a: Toleration, b: Toleration) -> bool:
    return (a.key, a.effect, a.operator, a.value) == (b.key, b.effect, b.operator, b.value)


class AlwaysPullImages(Plugin):
    """Nobody runs an image on the strength of its being on the node already."""

    name = "AlwaysPullImages"

    def concerns(self, kind: Kind[Any], operation: str, subresource: str) -> bool:
        return kind is POD and operation in ("CREATE", "UPDATE") and not subresource

    async def admit(self, request: AdmissionRequest) -> None:
        if _no_new_image(request):
            return
        for _, container in _containers(request.obj.spec):
            container.image_pull_policy = _ALWAYS
        for volume in request.obj.spec.volumes:
            if volume.image is not None:
                volume.image.pull_policy = _ALWAYS

    async def validate(self, request: AdmissionRequest) -> None:
        if _no_new_image(request):
            return
        for path, container in _containers(request.obj.spec):
            if container.image_pull_policy != _ALWAYS:
                complaint = not_supported(f"{path}.imagePullPolicy", container.image_pull_policy, (_ALWAYS,))
                raise refuse(request, str(complaint))


def _containers(spec: Any) -> Iterator[tuple[str, Any]]:
    for field, containers in (
        ("initContainers", spec.init_containers), ("containers", spec.containers),
        ("ephemeralContainers", spec.ephemeral_containers),
    ):  # fmt: skip
        for index, container in enumerate(containers):
            yield f"spec.{field}[{index}]", container


def _no_new_image(request: AdmissionRequest) -> bool:
    if request.operation != "UPDATE":
        return False
    old = {container.image for _, container in _containers(request.old.spec)}
    return all(container.image in old for _, container in _containers(request.obj.spec))


class LimitPodHardAntiAffinityTopology(Plugin):
    """Required anti-affinity may only keep pods off each other's nodes, not out of whole zones."""

    name = "LimitPodHardAntiAffinityTopology"

    def concerns(self, kind: Kind[Any], operation: str, subresource: str) -> bool:
        return kind is POD and operation in ("CREATE", "UPDATE") and not subresource

    async def validate(self, request: AdmissionRequest) -> None:
        affinity = request.obj.spec.affinity
        if affinity is None or affinity.pod_anti_affinity is None:
            return
        for term in affinity.pod_anti_affinity.required_during_scheduling_ignored_during_execution:
            if term.topology_key != _HOSTNAME:
                raise refuse(
                    request,
                    f"affinity.PodAntiAffinity.RequiredDuringScheduling has TopologyKey {term.topology_key} but only "
                    f"key {_HOSTNAME} is allowed",
                )


class PodTopologyLabels(Plugin):
    """A pod bears the zone and region of its node from the moment it is bound."""

    name = "PodTopologyLabels"

    def __init__(self, caches: Caches) -> None:
        self._nodes = caches.cache_of(NODE)

    def concerns(self, kind: Kind[Any], operation: str, subresource: str) -> bool:
        return kind is POD and operation == "CREATE" and subresource in ("", "binding")

    async def admit(self, request: AdmissionRequest) -> None:
        obj = request.obj
        if request.subresource:
            node = obj.target.name if obj.target.kind in ("", "Node") else ""
        else:
            node = obj.spec.node_name
        entry = self._nodes.get("", node) if node else None
        if entry is None:
            return
        labels = entry.obj.metadata.labels
        obj.metadata.labels.update({key: labels[key] for key in _TOPOLOGY if key in labels})


class DenyServiceExternalIPs(Plugin):
    """External IPs draw traffic that is not one's own: none may be added."""

    name = "DenyServiceExternalIPs"

    def concerns(self, kind: Kind[Any], operation: str, subresource: str) -> bool:
        return kind is SERVICE and operation in ("CREATE", "UPDATE") and not subresource

    async def validate(self, request: AdmissionRequest) -> None:
        had = set(request.old.spec.external_ips) if request.old is not None else set()
        if not had.issuperset(request.obj.spec.external_ips):
            raise refuse(request, "Use of external IPs is denied by admission control")
