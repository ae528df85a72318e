"""The built-in plugins, in upstream's order, and which of them are on.

Source: pkg/kubeapiserver/options/plugins.go.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import msgspec

from tiphys.api.errors import Forbidden
from tiphys.api.kinds import KINDS, MUTATINGWEBHOOKCONFIGURATION, VALIDATINGWEBHOOKCONFIGURATION
from tiphys.apiserver.admission import namespace_plugins, pod_plugins
from tiphys.apiserver.admission.certificate_approval import CertificateApproval, CertificateSigning
from tiphys.apiserver.admission.certificate_requests import CertificateRequests
from tiphys.apiserver.admission.certificate_subject_restriction import CertificateSubjectRestriction
from tiphys.apiserver.admission.chain import AdmissionChain
from tiphys.apiserver.admission.default_classes import DefaultIngressClass, DefaultStorageClass
from tiphys.apiserver.admission.default_tolerations import DefaultTolerationSeconds
from tiphys.apiserver.admission.device_admin_access import DeviceAdminAccess
from tiphys.apiserver.admission.equivalents import Equivalents
from tiphys.apiserver.admission.limit_ranger import LimitRanger
from tiphys.apiserver.admission.namespace_lifecycle import NamespaceLifecycle
from tiphys.apiserver.admission.node_restriction import NodeRestriction
from tiphys.apiserver.admission.owner_references import OwnerReferencesPermissionEnforcement
from tiphys.apiserver.admission.plugin import Plugin
from tiphys.apiserver.admission.pod_security.plugin import PodSecurity
from tiphys.apiserver.admission.pod_security.policy import Settings
from tiphys.apiserver.admission.policy import build as policy
from tiphys.apiserver.admission.priority import Priority
from tiphys.apiserver.admission.refusal import refuse
from tiphys.apiserver.admission.resource_quota import ResourceQuotaPlugin
from tiphys.apiserver.admission.runtime_class import RuntimeClassPlugin
from tiphys.apiserver.admission.service_account import ServiceAccountPlugin
from tiphys.apiserver.admission.storage import PersistentVolumeClaimResize, StorageObjectInUseProtection
from tiphys.apiserver.admission.taint_nodes import TaintNodesByCondition
from tiphys.apiserver.admission.webhooks.call import Caller
from tiphys.apiserver.admission.webhooks.hooks import Hooks
from tiphys.apiserver.admission.webhooks.measures import WebhookMeasures
from tiphys.apiserver.admission.webhooks.mutating import MutatingWebhooks
from tiphys.apiserver.admission.webhooks.validating import ValidatingWebhooks
from tiphys.apiserver.authz.authorizer import Authorizer
from tiphys.apiserver.authz.escalation import EscalationCheck
from tiphys.apiserver.crd.served import ServedKinds
from tiphys.apiserver.registry.interface import AdmissionRequest, Registry
from tiphys.apiserver.webhooks.client import WebhookClient
from tiphys.base.clock import Clock
from tiphys.base.metrics import Metrics


class Parts(msgspec.Struct, frozen=True):
    """What plugins are made of."""

    registry: Registry
    authorizer: Authorizer
    clock: Clock
    client: WebhookClient
    measures: WebhookMeasures
    equivalents: Equivalents
    metrics: Metrics
    pod_security: Settings


class AlwaysAdmit(Plugin):
    """Does nothing; kept for the name."""

    name = "AlwaysAdmit"

    def concerns(self, *_sort: Any) -> bool:
        return False


class AlwaysDeny(Plugin):
    """For tests of what happens then."""

    name = "AlwaysDeny"

    async def validate(self, request: AdmissionRequest) -> None:
        raise self._no(request)

    async def admit(self, request: AdmissionRequest) -> None:
        raise self._no(request)

    @staticmethod
    def _no(request: AdmissionRequest) -> Forbidden:
        return refuse(request, "admission control is denying all modifications")


def _mutating(parts: Parts) -> Plugin:
    hooks = Hooks(parts.registry.cache_of(MUTATINGWEBHOOKCONFIGURATION), parts.registry, parts.equivalents)
    return MutatingWebhooks(hooks, Caller(parts.client, parts.measures, parts.authorizer, "admit"), parts.equivalents)


def _validating(parts: Parts) -> Plugin:
    hooks = Hooks(parts.registry.cache_of(VALIDATINGWEBHOOKCONFIGURATION), parts.registry, parts.equivalents)
    return ValidatingWebhooks(
        hooks, Caller(parts.client, parts.measures, parts.authorizer, "validating"), parts.equivalents
    )


ORDER: Mapping[str, Callable[[Parts], Any]] = {
    "AlwaysAdmit": lambda _: AlwaysAdmit(),
    "NamespaceAutoProvision": lambda parts: namespace_plugins.NamespaceAutoProvision(parts.registry),
    "NamespaceLifecycle": lambda parts: NamespaceLifecycle(parts.registry),
    "NamespaceExists": lambda parts: namespace_plugins.NamespaceExists(parts.registry),
    "LimitPodHardAntiAffinityTopology": lambda _: pod_plugins.LimitPodHardAntiAffinityTopology(),
    "LimitRanger": lambda parts: LimitRanger(parts.registry),
    "ServiceAccount": lambda parts: ServiceAccountPlugin(parts.registry),
    "NodeRestriction": lambda parts: NodeRestriction(parts.registry, parts.authorizer),
    "TaintNodesByCondition": lambda _: TaintNodesByCondition(),
    "AlwaysPullImages": lambda _: pod_plugins.AlwaysPullImages(),
    "PodSecurity": lambda parts: PodSecurity(parts.registry, parts.pod_security),
    "PodNodeSelector": lambda parts: namespace_plugins.PodNodeSelector(parts.registry),
    "Priority": lambda parts: Priority(parts.registry),
    "DefaultTolerationSeconds": lambda _: DefaultTolerationSeconds(),
    "PodTolerationRestriction": lambda parts: namespace_plugins.PodTolerationRestriction(parts.registry),
    "ExtendedResourceToleration": lambda _: pod_plugins.ExtendedResourceToleration(),
    "DefaultStorageClass": lambda parts: DefaultStorageClass(parts.registry),
    "StorageObjectInUseProtection": lambda _: StorageObjectInUseProtection(),
    "OwnerReferencesPermissionEnforcement": lambda parts: OwnerReferencesPermissionEnforcement(parts.authorizer),
    "PersistentVolumeClaimResize": lambda parts: PersistentVolumeClaimResize(parts.registry),
    "RuntimeClass": lambda parts: RuntimeClassPlugin(parts.registry),
    "CertificateApproval": lambda parts: CertificateApproval(parts.authorizer),
    "CertificateSigning": lambda parts: CertificateSigning(parts.authorizer),
    "CertificateSubjectRestriction": lambda _: CertificateSubjectRestriction(),
    "DefaultIngressClass": lambda parts: DefaultIngressClass(parts.registry),
    "DenyServiceExternalIPs": lambda _: pod_plugins.DenyServiceExternalIPs(),
    "PodTopologyLabels": lambda parts: pod_plugins.PodTopologyLabels(parts.registry),
    "MutatingAdmissionPolicy": lambda parts: policy.mutating(
        parts.registry, parts.authorizer, parts.equivalents, parts.metrics
    ),
    "MutatingAdmissionWebhook": _mutating,
    "ValidatingAdmissionPolicy": lambda parts: policy.validating(
        parts.registry, parts.authorizer, parts.equivalents, parts.metrics
    ),
    "ValidatingAdmissionWebhook": _validating,
    "ResourceQuota": lambda parts: ResourceQuotaPlugin(parts.registry, parts.clock),
    "AlwaysDeny": lambda _: AlwaysDeny(),
}
"""Upstream's name of each plugin, and how it is made. Later plugins see what earlier ones did."""

DEFAULT_OFF = frozenset({
    "AlwaysAdmit", "AlwaysDeny", "AlwaysPullImages", "DenyServiceExternalIPs", "ExtendedResourceToleration",
    "LimitPodHardAntiAffinityTopology", "NamespaceAutoProvision", "NamespaceExists",
    "OwnerReferencesPermissionEnforcement", "PodNodeSelector", "PodTolerationRestriction",
})  # fmt: skip
"""Not on unless enabled. NodeRestriction is on here, as kubeadm has it, because nodes are restricted by default."""


def chosen(enabled: Collection[str], disabled: Collection[str]) -> list[str]:
    """The names of the plugins that are on, in order. Raises ValueError in upstream's words."""
    for flag, names in (("enable", enabled), ("disable", disabled)):
        for name in names:
            if name not in ORDER:
                raise ValueError(f"{flag}-admission-plugins plugin {name!r} is unknown".replace("'", '"'))
    both = sorted(set(enabled) & set(disabled))
    if both:
        raise ValueError(f"{', '.join(both)} in enable-admission-plugins and disable-admission-plugins overlapped")
    return [name for name in ORDER if name not in disabled and (name not in DEFAULT_OFF or name in enabled)]


def build(
    registry: Registry,
    authorizer: Authorizer,
    clock: Clock,
    client: WebhookClient,
    metrics: Metrics,
    *,
    enabled: Collection[str] = (),
    disabled: Collection[str] = (),
    served: ServedKinds | None = None,
    pod_security: Settings | None = None,
) -> AdmissionChain:
    """The chain of a server, which serves the kinds in `served` (None: the built-in ones). Raises ValueError.

    The escalation check, who asks for a certificate and who sees others' devices are parts of their kinds and cannot
    be disabled.
    """
    equivalents = Equivalents(served or ServedKinds(KINDS), registry.versions_of)
    parts = Parts(
        registry, authorizer, clock, client, WebhookMeasures(metrics), equivalents, metrics, pod_security or Settings()
    )
    plugins = [ORDER[name](parts) for name in chosen(enabled, disabled)]
    return AdmissionChain(
        [CertificateRequests(clock), *plugins, DeviceAdminAccess(registry), EscalationCheck(authorizer)]
    )
