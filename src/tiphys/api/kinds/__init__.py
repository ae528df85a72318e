"""The kinds that Tiphys serves, one module per kind under its API group.

`KINDS` is every resource with a path of its own that is served unless switched off; `PREVIEW_KINDS` are the alpha and
beta versions, served when asked for (`--runtime-config`); `BODY_KINDS` are those that only travel as the body of a
subresource (`pods/eviction` takes an Eviction). `STORED_KINDS` holds each stored resource once, in its best version.

A kind's module is imported when its name is first used: a process that knows only pods does not pay for the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from tiphys.api.kind import Kind

if TYPE_CHECKING:
    from tiphys.api.kinds.admissionregistration.mutatingadmissionpolicy import (
        MUTATINGADMISSIONPOLICY,
        MUTATINGADMISSIONPOLICY_V1ALPHA1,
        MUTATINGADMISSIONPOLICY_V1BETA1,
    )
    from tiphys.api.kinds.admissionregistration.mutatingadmissionpolicybinding import (
        MUTATINGADMISSIONPOLICYBINDING,
        MUTATINGADMISSIONPOLICYBINDING_V1ALPHA1,
        MUTATINGADMISSIONPOLICYBINDING_V1BETA1,
    )
    from tiphys.api.kinds.admissionregistration.mutatingwebhookconfiguration import MUTATINGWEBHOOKCONFIGURATION
    from tiphys.api.kinds.admissionregistration.validatingadmissionpolicy import VALIDATINGADMISSIONPOLICY
    from tiphys.api.kinds.admissionregistration.validatingadmissionpolicybinding import VALIDATINGADMISSIONPOLICYBINDING
    from tiphys.api.kinds.admissionregistration.validatingwebhookconfiguration import VALIDATINGWEBHOOKCONFIGURATION
    from tiphys.api.kinds.apiextensions.customresourcedefinition import CUSTOMRESOURCEDEFINITION
    from tiphys.api.kinds.apiregistration.apiservice import APISERVICE
    from tiphys.api.kinds.apiserverinternal.storageversion import STORAGEVERSION
    from tiphys.api.kinds.apps.controllerrevision import CONTROLLERREVISION
    from tiphys.api.kinds.apps.daemonset import DAEMONSET
    from tiphys.api.kinds.apps.deployment import DEPLOYMENT
    from tiphys.api.kinds.apps.replicaset import REPLICASET
    from tiphys.api.kinds.apps.statefulset import STATEFULSET
    from tiphys.api.kinds.authentication.selfsubjectreview import SELFSUBJECTREVIEW
    from tiphys.api.kinds.authentication.tokenrequest import TOKENREQUEST
    from tiphys.api.kinds.authentication.tokenreview import TOKENREVIEW
    from tiphys.api.kinds.authorization.accessreviews import (
        LOCALSUBJECTACCESSREVIEW,
        SELFSUBJECTACCESSREVIEW,
        SUBJECTACCESSREVIEW,
    )
    from tiphys.api.kinds.authorization.selfsubjectrulesreview import SELFSUBJECTRULESREVIEW
    from tiphys.api.kinds.autoscaling.horizontalpodautoscaler import HORIZONTALPODAUTOSCALER
    from tiphys.api.kinds.autoscaling.horizontalpodautoscaler_v1 import HORIZONTALPODAUTOSCALER_V1
    from tiphys.api.kinds.autoscaling.scale import SCALE
    from tiphys.api.kinds.batch.cronjob import CRONJOB
    from tiphys.api.kinds.batch.job import JOB
    from tiphys.api.kinds.certificates.certificatesigningrequest import CERTIFICATESIGNINGREQUEST
    from tiphys.api.kinds.certificates.clustertrustbundle import CLUSTERTRUSTBUNDLE, CLUSTERTRUSTBUNDLE_V1ALPHA1
    from tiphys.api.kinds.certificates.podcertificaterequest import PODCERTIFICATEREQUEST
    from tiphys.api.kinds.coordination.lease import LEASE
    from tiphys.api.kinds.coordination.leasecandidate import LEASECANDIDATE, LEASECANDIDATE_V1ALPHA2
    from tiphys.api.kinds.core.componentstatus import COMPONENTSTATUS
    from tiphys.api.kinds.core.configmap import CONFIGMAP
    from tiphys.api.kinds.core.endpoints import ENDPOINTS
    from tiphys.api.kinds.core.event import EVENT
    from tiphys.api.kinds.core.limitrange import LIMITRANGE
    from tiphys.api.kinds.core.namespace import NAMESPACE
    from tiphys.api.kinds.core.node import NODE
    from tiphys.api.kinds.core.persistentvolume import PERSISTENTVOLUME
    from tiphys.api.kinds.core.persistentvolumeclaim import PERSISTENTVOLUMECLAIM
    from tiphys.api.kinds.core.pod.kind import BINDING, POD
    from tiphys.api.kinds.core.podtemplate import PODTEMPLATE
    from tiphys.api.kinds.core.replicationcontroller import REPLICATIONCONTROLLER
    from tiphys.api.kinds.core.resourcequota import RESOURCEQUOTA
    from tiphys.api.kinds.core.secret import SECRET
    from tiphys.api.kinds.core.service import SERVICE
    from tiphys.api.kinds.core.serviceaccount import SERVICEACCOUNT
    from tiphys.api.kinds.discovery.endpointslice import ENDPOINTSLICE
    from tiphys.api.kinds.events.event import EVENTS_EVENT
    from tiphys.api.kinds.flowcontrol.flowschema import FLOWSCHEMA
    from tiphys.api.kinds.flowcontrol.prioritylevelconfiguration import PRIORITYLEVELCONFIGURATION
    from tiphys.api.kinds.networking.ingress import INGRESS
    from tiphys.api.kinds.networking.ingressclass import INGRESSCLASS
    from tiphys.api.kinds.networking.ipaddress import IPADDRESS, IPADDRESS_V1BETA1
    from tiphys.api.kinds.networking.networkpolicy import NETWORKPOLICY
    from tiphys.api.kinds.networking.servicecidr import SERVICECIDR, SERVICECIDR_V1BETA1
    from tiphys.api.kinds.node.runtimeclass import RUNTIMECLASS
    from tiphys.api.kinds.policy.eviction import EVICTION
    from tiphys.api.kinds.policy.poddisruptionbudget import PODDISRUPTIONBUDGET
    from tiphys.api.kinds.rbac.clusterrole import CLUSTERROLE
    from tiphys.api.kinds.rbac.clusterrolebinding import CLUSTERROLEBINDING
    from tiphys.api.kinds.rbac.role import ROLE
    from tiphys.api.kinds.rbac.rolebinding import ROLEBINDING
    from tiphys.api.kinds.resource.deviceclass import DEVICECLASS, DEVICECLASS_V1BETA1, DEVICECLASS_V1BETA2
    from tiphys.api.kinds.resource.devicetaintrule import DEVICETAINTRULE, DEVICETAINTRULE_V1BETA2
    from tiphys.api.kinds.resource.resourceclaim import RESOURCECLAIM, RESOURCECLAIM_V1BETA2
    from tiphys.api.kinds.resource.resourceclaimtemplate import RESOURCECLAIMTEMPLATE, RESOURCECLAIMTEMPLATE_V1BETA2
    from tiphys.api.kinds.resource.resourcepoolstatusrequest import RESOURCEPOOLSTATUSREQUEST
    from tiphys.api.kinds.resource.resourceslice import RESOURCESLICE, RESOURCESLICE_V1BETA2
    from tiphys.api.kinds.resource.v1beta1 import (
        RESOURCECLAIM_V1BETA1,
        RESOURCECLAIMTEMPLATE_V1BETA1,
        RESOURCESLICE_V1BETA1,
    )
    from tiphys.api.kinds.scheduling.podgroup import PODGROUP
    from tiphys.api.kinds.scheduling.priorityclass import PRIORITYCLASS
    from tiphys.api.kinds.scheduling.workload import WORKLOAD
    from tiphys.api.kinds.storage.csidriver import CSIDRIVER
    from tiphys.api.kinds.storage.csinode import CSINODE
    from tiphys.api.kinds.storage.csistoragecapacity import CSISTORAGECAPACITY
    from tiphys.api.kinds.storage.storageclass import STORAGECLASS
    from tiphys.api.kinds.storage.volumeattachment import VOLUMEATTACHMENT
    from tiphys.api.kinds.storage.volumeattributesclass import VOLUMEATTRIBUTESCLASS, VOLUMEATTRIBUTESCLASS_V1BETA1
    from tiphys.api.kinds.storagemigration.storageversionmigration import STORAGEVERSIONMIGRATION

    KINDS: tuple[Kind[Any], ...]
    PREVIEW_KINDS: tuple[Kind[Any], ...]
    BODY_KINDS: tuple[Kind[Any], ...]
    STORED_KINDS: tuple[Kind[Any], ...]

_SERVED = {
    "core.configmap": ("CONFIGMAP",),
    "core.componentstatus": ("COMPONENTSTATUS",),
    "core.endpoints": ("ENDPOINTS",),
    "core.event": ("EVENT",),
    "core.limitrange": ("LIMITRANGE",),
    "core.namespace": ("NAMESPACE",),
    "core.node": ("NODE",),
    "core.persistentvolume": ("PERSISTENTVOLUME",),
    "core.persistentvolumeclaim": ("PERSISTENTVOLUMECLAIM",),
    "core.pod.kind": (
        "BINDING",
        "POD",
    ),
    "core.podtemplate": ("PODTEMPLATE",),
    "core.replicationcontroller": ("REPLICATIONCONTROLLER",),
    "core.resourcequota": ("RESOURCEQUOTA",),
    "core.secret": ("SECRET",),
    "core.service": ("SERVICE",),
    "core.serviceaccount": ("SERVICEACCOUNT",),
    "admissionregistration.mutatingadmissionpolicy": ("MUTATINGADMISSIONPOLICY",),
    "admissionregistration.mutatingadmissionpolicybinding": ("MUTATINGADMISSIONPOLICYBINDING",),
    "admissionregistration.mutatingwebhookconfiguration": ("MUTATINGWEBHOOKCONFIGURATION",),
    "admissionregistration.validatingadmissionpolicy": ("VALIDATINGADMISSIONPOLICY",),
    "admissionregistration.validatingadmissionpolicybinding": ("VALIDATINGADMISSIONPOLICYBINDING",),
    "admissionregistration.validatingwebhookconfiguration": ("VALIDATINGWEBHOOKCONFIGURATION",),
    "apiextensions.customresourcedefinition": ("CUSTOMRESOURCEDEFINITION",),
    "apiregistration.apiservice": ("APISERVICE",),
    "apps.controllerrevision": ("CONTROLLERREVISION",),
    "apps.daemonset": ("DAEMONSET",),
    "apps.deployment": ("DEPLOYMENT",),
    "apps.replicaset": ("REPLICASET",),
    "apps.statefulset": ("STATEFULSET",),
    "authentication.selfsubjectreview": ("SELFSUBJECTREVIEW",),
    "authentication.tokenreview": ("TOKENREVIEW",),
    "authorization.accessreviews": (
        "LOCALSUBJECTACCESSREVIEW",
        "SELFSUBJECTACCESSREVIEW",
        "SUBJECTACCESSREVIEW",
    ),
    "authorization.selfsubjectrulesreview": ("SELFSUBJECTRULESREVIEW",),
    "autoscaling.horizontalpodautoscaler": ("HORIZONTALPODAUTOSCALER",),
    "autoscaling.horizontalpodautoscaler_v1": ("HORIZONTALPODAUTOSCALER_V1",),
    "batch.cronjob": ("CRONJOB",),
    "batch.job": ("JOB",),
    "certificates.certificatesigningrequest": ("CERTIFICATESIGNINGREQUEST",),
    "coordination.lease": ("LEASE",),
    "discovery.endpointslice": ("ENDPOINTSLICE",),
    "events.event": ("EVENTS_EVENT",),
    "flowcontrol.flowschema": ("FLOWSCHEMA",),
    "flowcontrol.prioritylevelconfiguration": ("PRIORITYLEVELCONFIGURATION",),
    "networking.ingress": ("INGRESS",),
    "networking.ingressclass": ("INGRESSCLASS",),
    "networking.ipaddress": ("IPADDRESS",),
    "networking.networkpolicy": ("NETWORKPOLICY",),
    "networking.servicecidr": ("SERVICECIDR",),
    "node.runtimeclass": ("RUNTIMECLASS",),
    "policy.poddisruptionbudget": ("PODDISRUPTIONBUDGET",),
    "rbac.clusterrole": ("CLUSTERROLE",),
    "rbac.clusterrolebinding": ("CLUSTERROLEBINDING",),
    "rbac.role": ("ROLE",),
    "rbac.rolebinding": ("ROLEBINDING",),
    "resource.deviceclass": ("DEVICECLASS",),
    "resource.resourceclaim": ("RESOURCECLAIM",),
    "resource.resourceclaimtemplate": ("RESOURCECLAIMTEMPLATE",),
    "resource.resourceslice": ("RESOURCESLICE",),
    "scheduling.priorityclass": ("PRIORITYCLASS",),
    "storage.csidriver": ("CSIDRIVER",),
    "storage.csinode": ("CSINODE",),
    "storage.csistoragecapacity": ("CSISTORAGECAPACITY",),
    "storage.storageclass": ("STORAGECLASS",),
    "storage.volumeattachment": ("VOLUMEATTACHMENT",),
    "storage.volumeattributesclass": ("VOLUMEATTRIBUTESCLASS",),
}
"""Module to names, as the next two."""

_PREVIEW = {
    "admissionregistration.mutatingadmissionpolicy": (
        "MUTATINGADMISSIONPOLICY_V1BETA1",
        "MUTATINGADMISSIONPOLICY_V1ALPHA1",
    ),
    "admissionregistration.mutatingadmissionpolicybinding": (
        "MUTATINGADMISSIONPOLICYBINDING_V1BETA1",
        "MUTATINGADMISSIONPOLICYBINDING_V1ALPHA1",
    ),
    "apiserverinternal.storageversion": ("STORAGEVERSION",),
    "certificates.clustertrustbundle": (
        "CLUSTERTRUSTBUNDLE",
        "CLUSTERTRUSTBUNDLE_V1ALPHA1",
    ),
    "certificates.podcertificaterequest": ("PODCERTIFICATEREQUEST",),
    "coordination.leasecandidate": (
        "LEASECANDIDATE",
        "LEASECANDIDATE_V1ALPHA2",
    ),
    "networking.ipaddress": ("IPADDRESS_V1BETA1",),
    "networking.servicecidr": ("SERVICECIDR_V1BETA1",),
    "resource.deviceclass": (
        "DEVICECLASS_V1BETA1",
        "DEVICECLASS_V1BETA2",
    ),
    "resource.devicetaintrule": (
        "DEVICETAINTRULE",
        "DEVICETAINTRULE_V1BETA2",
    ),
    "resource.resourceclaim": ("RESOURCECLAIM_V1BETA2",),
    "resource.resourceclaimtemplate": ("RESOURCECLAIMTEMPLATE_V1BETA2",),
    "resource.resourcepoolstatusrequest": ("RESOURCEPOOLSTATUSREQUEST",),
    "resource.resourceslice": ("RESOURCESLICE_V1BETA2",),
    "resource.v1beta1": (
        "RESOURCECLAIM_V1BETA1",
        "RESOURCECLAIMTEMPLATE_V1BETA1",
        "RESOURCESLICE_V1BETA1",
    ),
    "scheduling.podgroup": ("PODGROUP",),
    "scheduling.workload": ("WORKLOAD",),
    "storage.volumeattributesclass": ("VOLUMEATTRIBUTESCLASS_V1BETA1",),
    "storagemigration.storageversionmigration": ("STORAGEVERSIONMIGRATION",),
}
"""Alpha and beta versions."""

_BODIES = {
    "authentication.tokenrequest": ("TOKENREQUEST",),
    "autoscaling.scale": ("SCALE",),
    "policy.eviction": ("EVICTION",),
}
"""What travels below other kinds."""

_MODULES = {name: module for table in (_SERVED, _PREVIEW, _BODIES) for module, names in table.items() for name in names}


def _stored() -> tuple[Kind[Any], ...]:
    """Of versions that are stored alike, the one that is stored, or else the first."""
    found: dict[str, Kind[Any]] = {}
    for kind in _all(_SERVED):
        if kind.stored and (kind.stored_as is None or kind.storage_key not in found):
            found[kind.storage_key] = kind
    return tuple(found.values())


def _all(table: Mapping[str, tuple[str, ...]]) -> tuple[Kind[Any], ...]:
    return tuple(_kind(name) for names in table.values() for name in names)


def _kind(name: str) -> Kind[Any]:
    kind: Kind[Any] = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    return kind


_LISTS = {
    "KINDS": lambda: _all(_SERVED),
    "PREVIEW_KINDS": lambda: _all(_PREVIEW),
    "BODY_KINDS": lambda: _all(_BODIES),
    "STORED_KINDS": _stored,
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        value: Any = _kind(name)
    elif name in _LISTS:
        value = _LISTS[name]()
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


__all__ = [
    "APISERVICE",
    "BINDING",
    "BODY_KINDS",
    "CERTIFICATESIGNINGREQUEST",
    "CLUSTERROLE",
    "CLUSTERROLEBINDING",
    "CLUSTERTRUSTBUNDLE",
    "CLUSTERTRUSTBUNDLE_V1ALPHA1",
    "COMPONENTSTATUS",
    "CONFIGMAP",
    "CONTROLLERREVISION",
    "CRONJOB",
    "CSIDRIVER",
    "CSINODE",
    "CSISTORAGECAPACITY",
    "CUSTOMRESOURCEDEFINITION",
    "DAEMONSET",
    "DEPLOYMENT",
    "DEVICECLASS",
    "DEVICECLASS_V1BETA1",
    "DEVICECLASS_V1BETA2",
    "DEVICETAINTRULE",
    "DEVICETAINTRULE_V1BETA2",
    "ENDPOINTS",
    "ENDPOINTSLICE",
    "EVENT",
    "EVENTS_EVENT",
    "EVICTION",
    "FLOWSCHEMA",
    "HORIZONTALPODAUTOSCALER",
    "HORIZONTALPODAUTOSCALER_V1",
    "INGRESS",
    "INGRESSCLASS",
    "IPADDRESS",
    "IPADDRESS_V1BETA1",
    "JOB",
    "KINDS",
    "LEASE",
    "LEASECANDIDATE",
    "LEASECANDIDATE_V1ALPHA2",
    "LIMITRANGE",
    "LOCALSUBJECTACCESSREVIEW",
    "MUTATINGADMISSIONPOLICY",
    "MUTATINGADMISSIONPOLICYBINDING",
    "MUTATINGADMISSIONPOLICYBINDING_V1ALPHA1",
    "MUTATINGADMISSIONPOLICYBINDING_V1BETA1",
    "MUTATINGADMISSIONPOLICY_V1ALPHA1",
    "MUTATINGADMISSIONPOLICY_V1BETA1",
    "MUTATINGWEBHOOKCONFIGURATION",
    "NAMESPACE",
    "NETWORKPOLICY",
    "NODE",
    "PERSISTENTVOLUME",
    "PERSISTENTVOLUMECLAIM",
    "POD",
    "PODCERTIFICATEREQUEST",
    "PODDISRUPTIONBUDGET",
    "PODGROUP",
    "PODTEMPLATE",
    "PREVIEW_KINDS",
    "PRIORITYCLASS",
    "PRIORITYLEVELCONFIGURATION",
    "REPLICASET",
    "REPLICATIONCONTROLLER",
    "RESOURCECLAIM",
    "RESOURCECLAIMTEMPLATE",
    "RESOURCECLAIMTEMPLATE_V1BETA1",
    "RESOURCECLAIMTEMPLATE_V1BETA2",
    "RESOURCECLAIM_V1BETA1",
    "RESOURCECLAIM_V1BETA2",
    "RESOURCEPOOLSTATUSREQUEST",
    "RESOURCEQUOTA",
    "RESOURCESLICE",
    "RESOURCESLICE_V1BETA1",
    "RESOURCESLICE_V1BETA2",
    "ROLE",
    "ROLEBINDING",
    "RUNTIMECLASS",
    "SCALE",
    "SECRET",
    "SELFSUBJECTACCESSREVIEW",
    "SELFSUBJECTREVIEW",
    "SELFSUBJECTRULESREVIEW",
    "SERVICE",
    "SERVICEACCOUNT",
    "SERVICECIDR",
    "SERVICECIDR_V1BETA1",
    "STATEFULSET",
    "STORAGECLASS",
    "STORAGEVERSION",
    "STORAGEVERSIONMIGRATION",
    "STORED_KINDS",
    "SUBJECTACCESSREVIEW",
    "TOKENREQUEST",
    "TOKENREVIEW",
    "VALIDATINGADMISSIONPOLICY",
    "VALIDATINGADMISSIONPOLICYBINDING",
    "VALIDATINGWEBHOOKCONFIGURATION",
    "VOLUMEATTACHMENT",
    "VOLUMEATTRIBUTESCLASS",
    "VOLUMEATTRIBUTESCLASS_V1BETA1",
    "WORKLOAD",
]
