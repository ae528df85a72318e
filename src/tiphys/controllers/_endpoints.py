"""What the two endpoint controllers share: which pods are behind a Service, on which ports.

Source: staging/src/k8s.io/endpointslice/util, pkg/controller/endpoint/endpoints_controller.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from tiphys.api.kinds import POD, SERVICE
from tiphys.api.kinds.core.pod.facts import is_ready, is_sidecar, is_terminal
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.kinds.core.references import ObjectReference
from tiphys.api.kinds.core.service import Service, ServicePort
from tiphys.controllers._pods import label_pairs
from tiphys.controllers._spec import Index, Key, Listers

HEADLESS = "service.kubernetes.io/headless"


class Port(NamedTuple):
    """A port as endpoints have it, comparable."""

    name: str
    protocol: str
    port: int
    app_protocol: str | None


def selects(service: Service, labels: Mapping[str, str]) -> bool:
    """Whether the Service's selector matches; a Service without a selector selects nothing here."""
    selector = service.spec.selector
    return bool(selector) and selector.items() <= labels.items()


def services_of_pod(listers: Listers, pod: Pod) -> Iterable[Key]:
    """The Services that the pod may be behind."""
    labels = pod.metadata.labels
    for pair in label_pairs(pod.metadata.namespace, labels):
        if listers.count(SERVICE, BY_SELECTOR.name, pair):
            for service in listers.indexed(SERVICE, BY_SELECTOR.name, pair):
                if selects(service, labels):
                    yield Key(service.metadata.namespace, service.metadata.name)


def pods_of_service(listers: Listers, service: Service) -> tuple[Pod, ...]:
    """The pods that the Service's selector matches."""
    pairs = label_pairs(service.metadata.namespace, service.spec.selector)
    if not pairs:
        return ()
    rarest = min(pairs, key=lambda pair: listers.count(POD, BY_LABEL.name, pair))
    found = listers.indexed(POD, BY_LABEL.name, rarest)
    return tuple(pod for pod in found if selects(service, pod.metadata.labels))


BY_LABEL = Index(POD, "label", lambda pod: label_pairs(pod.metadata.namespace, pod.metadata.labels))
"""Pods by each of their labels."""
BY_SELECTOR = Index(
    SERVICE, "selector", lambda service: label_pairs(service.metadata.namespace, service.spec.selector)[:1]
)
"""Services by one label of their selector: what they select bears it."""


def is_candidate(pod: Pod, *, terminating: bool) -> bool:
    """Whether the pod has an address that could answer. `terminating`: pods being deleted count too."""
    if is_terminal(pod) or not addresses(pod):
        return False
    return terminating or pod.metadata.deletion_timestamp is None


def addresses(pod: Pod) -> list[str]:
    return [entry.ip for entry in pod.status.pod_ips] or ([pod.status.pod_ip] if pod.status.pod_ip else [])


def address_of(pod: Pod, family: str) -> str | None:
    """The pod's first address of a family, `IPv4` or `IPv6`."""
    wants_colon = family == "IPv6"
    return next((address for address in addresses(pod) if (":" in address) == wants_colon), None)


def ports_of(service: Service, pod: Pod) -> tuple[Port, ...]:
    """The Service's ports as they are on this pod; a named port that the pod lacks is left out."""
    found = []
    for port in service.spec.ports:
        number = _target(port, pod)
        if number:
            found.append(Port(port.name, port.protocol or "TCP", number, port.app_protocol))
    return tuple(found)


def _target(port: ServicePort, pod: Pod) -> int:
    target = port.target_port
    if isinstance(target, int):
        return target or port.port
    sidecars = [container for container in pod.spec.init_containers if is_sidecar(container)]
    for container in (*pod.spec.containers, *sidecars):
        for known in container.ports:
            if known.name == target and (known.protocol or "TCP") == (port.protocol or "TCP"):
                return known.container_port
    return 0


def is_headless(service: Service) -> bool:
    return service.spec.cluster_ip == "None"


def hostname_of(service: Service, pod: Pod) -> str:
    """The name under which DNS shows this pod below a headless Service."""
    return pod.spec.hostname if pod.spec.hostname and pod.spec.subdomain == service.metadata.name else ""


def target_reference(pod: Pod) -> ObjectReference:
    metadata = pod.metadata
    return ObjectReference(kind="Pod", namespace=metadata.namespace, name=metadata.name, uid=metadata.uid)


def pod_matters(old: Pod | None, new: Pod | None) -> bool:
    """Whether a change of a pod can change endpoints: most status updates cannot."""
    if old is None or new is None:
        return True
    return (
        old.metadata.labels != new.metadata.labels
        or old.metadata.deletion_timestamp != new.metadata.deletion_timestamp
        or old.status.phase != new.status.phase
        or old.spec.node_name != new.spec.node_name
        or is_ready(old) != is_ready(new)
        or addresses(old) != addresses(new)
    )
