"""Warnings about services, nodes, volumes and classes.

Source: pkg/api/{service,persistentvolume,persistentvolumeclaim,storage,node}, pkg/registry/core/node/strategy.go.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tiphys.api.names import qualified_name
from tiphys.api.warnings.pods import OLD_LABELS, fractions

_HINTS = "service.kubernetes.io/topology-aware-hints"
_INGRESS_CLASS = "kubernetes.io/ingress.class"
_STANDARD_FINALIZERS = frozenset({"orphan", "foregroundDeletion", "kubernetes"})
_OLD_CLASS = "volume.beta.kubernetes.io/storage-class"
_OLD_OPTIONS = "volume.beta.kubernetes.io/mount-options"
_VOLUME_ANNOTATIONS = {
    _OLD_CLASS: 'deprecated since v1.8; use "storageClassName" attribute instead',
    _OLD_OPTIONS: 'deprecated since v1.31; use "mountOptions" attribute instead',
}


def service_warnings(new: Any, _old: Any) -> Iterator[str]:
    spec = new.spec
    if _HINTS in new.metadata.annotations:
        yield f"annotation {_HINTS} is deprecated, please use service.kubernetes.io/topology-mode instead"
    headless, external = spec.cluster_ip == "None", spec.type == "ExternalName"
    if headless:
        if spec.load_balancer_ip:
            yield "spec.loadBalancerIP is ignored for headless services"
        if spec.external_ips:
            yield "spec.externalIPs is ignored for headless services"
        if spec.session_affinity not in ("", "None"):
            yield "spec.SessionAffinity is ignored for headless services"
    if spec.external_ips and not headless and not external:
        yield "spec.externalIPs is deprecated and may no longer be implemented in some clusters"
    if spec.external_ips and external:
        yield 'spec.externalIPs is ignored when spec.type is "ExternalName"'
    if spec.external_name and not external:
        yield 'spec.externalName is ignored when spec.type is not "ExternalName"'
    if spec.traffic_distribution == "PreferClose":
        yield 'spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"'


def ingress_warnings(new: Any, old: Any) -> Iterator[str]:
    if old is None and _INGRESS_CLASS in new.metadata.annotations and new.spec.ingress_class_name is None:
        yield f"annotation \"{_INGRESS_CLASS}\" is deprecated, please use 'spec.ingressClassName' instead"


def definition_warnings(new: Any, old: Any) -> Iterator[str]:
    from tiphys.api.kinds.apiextensions.validation import warnings

    return warnings(new, old)


def custom_warnings(new: Any, old: Any) -> Iterator[str]:
    """Finalizers of custom objects that had better name whose they are; on updates only those that are new."""
    known = set() if old is None else set(old.metadata.finalizers)
    for name in sorted(set(new.metadata.finalizers) - known):
        for why in qualified_name(name):
            yield f'metadata.finalizers: "{name}": {why}'
        if "/" not in name and name not in _STANDARD_FINALIZERS:
            path = " including a path (/)" if "." in name else ""
            yield (
                f'metadata.finalizers: "{name}": prefer a domain-qualified finalizer name{path} to avoid accidental '
                "conflicts with other finalizer writers"
            )


def node_warnings(new: Any, _old: Any) -> Iterator[str]:
    if new.spec.config_source is not None:
        yield "spec.configSource: the feature is removed"
    if new.spec.external_id:
        yield "spec.externalID: this field is deprecated, and is unused by Kubernetes"


def claim_warnings(new: Any, _old: Any) -> Iterator[str]:
    if _OLD_CLASS in new.metadata.annotations:
        yield f"metadata.annotations[{_OLD_CLASS}]: {_VOLUME_ANNOTATIONS[_OLD_CLASS]}"
    yield from fractions("spec.resources", new.spec.resources, ("storage",))


def volume_warnings(new: Any, _old: Any) -> Iterator[str]:
    for key, text in _VOLUME_ANNOTATIONS.items():
        if key in new.metadata.annotations:
            yield f"metadata.annotations[{key}]: {text}"
    if new.spec.persistent_volume_reclaim_policy == "Recycle":
        yield (
            "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended "
            "approach is to use dynamic provisioning."
        )


def runtime_class_warnings(new: Any, _old: Any) -> Iterator[str]:
    for key in new.scheduling.node_selector if new.scheduling is not None else ():
        if key in OLD_LABELS:
            yield f"scheduling.nodeSelector: {OLD_LABELS[key]}"


def storage_class_warnings(new: Any, _old: Any) -> Iterator[str]:
    for index, topology in enumerate(new.allowed_topologies):
        for position, expression in enumerate(topology.match_label_expressions):
            if expression.key in OLD_LABELS:
                path = f"allowedTopologies[{index}].matchLabelExpressions[{position}].key"
                yield f"{path}: {OLD_LABELS[expression.key]}"


def endpoint_slice_warnings(new: Any, old: Any) -> Iterator[str]:
    if new.address_type == "FQDN" and old is None:
        yield "spec.addressType: FQDN endpoints are deprecated"
