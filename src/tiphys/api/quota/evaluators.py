"""What one object uses, kind by kind.

Source: pkg/quota/v1/evaluator/core, staging/src/k8s.io/apiserver/pkg/quota/v1/generic/evaluator.go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from tiphys.api.kinds.core.pod import facts
from tiphys.api.quota import scopes
from tiphys.api.quota.amounts import Amounts
from tiphys.api.quota.scopes import Scope
from tiphys.base import quantity
from tiphys.base.clock import parse_rfc3339

IGNORED = frozenset({
    "bindings", "componentstatuses", "events", "events.events.k8s.io", "tokenreviews.authentication.k8s.io",
    "selfsubjectreviews.authentication.k8s.io", "subjectaccessreviews.authorization.k8s.io",
    "selfsubjectaccessreviews.authorization.k8s.io", "localsubjectaccessreviews.authorization.k8s.io",
    "selfsubjectrulesreviews.authorization.k8s.io",
})  # fmt: skip
"""Resources that no quota counts."""
_ALIASES = {
    "configmaps": "configmaps", "resourcequotas": "resourcequotas", "secrets": "secrets",
    "replicationcontrollers": "replicationcontrollers",
}  # fmt: skip
"""Resources whose count has an older name, too."""
_MUST_STATE = frozenset({"cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"})
"""Under a quota of these, each container must state its amount."""
_POD_NAMES = frozenset({
    "count/pods", "pods", "cpu", "memory", "ephemeral-storage", "requests.cpu", "requests.memory",
    "requests.ephemeral-storage", "limits.cpu", "limits.memory", "limits.ephemeral-storage",
})  # fmt: skip
_REQUESTS = "requests."
_STORAGE_CLASS = ".storageclass.storage.k8s.io/"
_DEVICE_CLASS = ".deviceclass.resource.k8s.io/devices"
_IMPLICIT_DEVICE_CLASS = "requests.deviceclass.resource.kubernetes.io/"


class Evaluator:
    """Counts objects of one resource. Subclasses count more than their number."""

    matches_scope: Callable[[Scope, Any], bool] = staticmethod(scopes.none_match)

    def __init__(self, group_resource: str) -> None:
        self.group_resource = group_resource
        names = {f"count/{group_resource}"}
        if group_resource in _ALIASES:
            names.add(_ALIASES[group_resource])
        self.names = frozenset(names)

    def handles(self, operation: str, subresource: str, _obj: Any, _old: Any) -> bool:
        """Whether a request may change what is used."""
        return operation == "CREATE" and not subresource

    def measures(self, name: str) -> bool:
        """Whether objects of this resource count towards the quota's `name`."""
        return name in self.names

    def matching(self, names: Iterable[str]) -> list[str]:
        return [name for name in names if self.measures(name)]

    def complaint(self, _required: Iterable[str], _obj: Any) -> str:
        """What the object fails to state that these names require; empty: nothing."""
        return ""

    def usage(self, _obj: Any, _now: datetime) -> Amounts:
        return dict.fromkeys(self.names, 1)

    def covers(self, hard: Iterable[str], wanted: Iterable[Scope], obj: Any) -> bool:
        """Whether a quota with these hard limits and scopes is about `obj`."""
        return any(self.measures(name) for name in hard) and all(self.matches_scope(scope, obj) for scope in wanted)


class PodEvaluator(Evaluator):
    """Pods that have not ended, by number and by what they request; all pods under `count/pods`."""

    matches_scope = staticmethod(scopes.pod_matches)

    def handles(self, operation: str, subresource: str, obj: Any, old: Any) -> bool:
        if subresource == "resize":
            return operation == "UPDATE"
        if subresource:
            return False
        if operation == "UPDATE":
            return scopes.is_terminating(old) != scopes.is_terminating(obj)
        return operation == "CREATE"

    def measures(self, name: str) -> bool:
        if name in _POD_NAMES or name.startswith(("hugepages-", "requests.hugepages-")):
            return True
        return name.startswith(_IMPLICIT_DEVICE_CLASS) or (name.startswith(_REQUESTS) and not is_native(name))

    def complaint(self, required: Iterable[str], obj: Any) -> str:
        stated = obj.spec.resources
        if stated is not None and (stated.requests or stated.limits):
            return ""
        wanted = sorted(_MUST_STATE.intersection(required))
        if not wanted:
            return ""
        missing: dict[str, set[str]] = {}
        for container in (*obj.spec.containers, *obj.spec.init_containers):
            has = _computed(container.resources.requests, container.resources.limits)
            for name in wanted:
                if name not in has:
                    missing.setdefault(name, set()).add(container.name)
        if not missing:
            return ""
        return "must specify " + "; ".join(f"{name} for: {','.join(sorted(missing[name]))}" for name in sorted(missing))

    def usage(self, obj: Any, now: datetime) -> Amounts:
        used = {"count/pods": 1}
        if not is_charged(obj, now):
            return used
        requests, limits = facts.requests(obj, instead=facts.resized(obj)), facts.limits(obj)
        used["pods"] = 1
        used.update(_computed(requests, limits))
        return used


def _computed(requests: Mapping[str, Any], limits: Mapping[str, Any]) -> dict[str, Any]:
    """Requests and limits under the names that quotas have for them."""
    found: dict[str, Any] = {}
    for name in ("cpu", "memory", "ephemeral-storage"):
        if name in requests:
            found[name] = found[_REQUESTS + name] = requests[name]
        if name in limits:
            found["limits." + name] = limits[name]
    for name, amount in requests.items():
        if name.startswith("hugepages-"):
            found[name] = found[_REQUESTS + name] = amount
        elif not is_native(name):
            found[_REQUESTS + name] = amount
    return found


def is_native(name: str) -> bool:
    """Kubernetes' own, not a vendor's (`example.com/gpu`)."""
    return "/" not in name or "kubernetes.io/" in name


def is_charged(pod: Any, now: datetime) -> bool:
    """Not once it has ended, nor when it should have been gone by now (its node may be lost)."""
    if facts.is_terminal(pod):
        return False
    meta = pod.metadata
    if meta.deletion_timestamp and meta.deletion_grace_period_seconds is not None:
        grace = timedelta(seconds=meta.deletion_grace_period_seconds)
        return now <= parse_rfc3339(meta.deletion_timestamp) + grace
    return True


class ServiceEvaluator(Evaluator):
    """Services, their node ports and load balancers."""

    def __init__(self, group_resource: str) -> None:
        super().__init__(group_resource)
        self.names = frozenset({"count/services", "services", "services.nodeports", "services.loadbalancers"})

    def handles(self, operation: str, subresource: str, _obj: Any, _old: Any) -> bool:
        return operation in ("CREATE", "UPDATE") and not subresource

    def usage(self, obj: Any, _now: datetime) -> Amounts:
        spec = obj.spec
        used = {"count/services": 1, "services": 1, "services.nodeports": 0, "services.loadbalancers": 0}
        if spec.type == "NodePort":
            used["services.nodeports"] = len(spec.ports)
        elif spec.type == "LoadBalancer":
            used["services.loadbalancers"] = 1
            # They are not allocated yet: what is meant counts.
            suppressed = spec.allocate_load_balancer_node_ports is False
            used["services.nodeports"] = sum(1 for port in spec.ports if port.node_port or not suppressed)
        return used


class ClaimEvaluator(Evaluator):
    """Volume claims and the storage they ask for, in all and by storage class."""

    matches_scope = staticmethod(scopes.claim_matches)
    _OWN = ("persistentvolumeclaims", "requests.storage")

    def handles(self, operation: str, subresource: str, obj: Any, old: Any) -> bool:
        if subresource == "status":
            # What is allocated may exceed what is requested, while a volume is being expanded.
            before, after = old.status.allocated_resources, obj.status.allocated_resources
            moved = scopes.attributes_classes(old) != scopes.attributes_classes(obj)
            return moved or before.get("storage") != after.get("storage")
        return operation in ("CREATE", "UPDATE") and not subresource

    def measures(self, name: str) -> bool:
        if name == "count/persistentvolumeclaims" or name in self._OWN:
            return True
        return any(name.endswith(_STORAGE_CLASS + own) for own in self._OWN)

    def usage(self, obj: Any, _now: datetime) -> Amounts:
        used = {"count/persistentvolumeclaims": 1, "persistentvolumeclaims": 1}
        storage = obj.spec.resources.requests.get("storage") if obj.spec.resources is not None else None
        if storage is not None:
            allocated = obj.status.allocated_resources.get("storage", "0")
            used["requests.storage"] = max(quantity.value(storage), quantity.value(allocated))
        class_name = storage_class(obj)
        if class_name:
            for name in self._OWN:
                if name in used:
                    used[f"{class_name}{_STORAGE_CLASS}{name}"] = used[name]
        return used


def storage_class(claim: Any) -> str:
    """The claim's class; the annotation of old comes first."""
    beta = claim.metadata.annotations.get("volume.beta.kubernetes.io/storage-class")
    return str(beta if beta is not None else claim.spec.storage_class_name or "")


class DeviceClaimEvaluator(Evaluator):
    """Resource claims, and the devices they ask for by device class."""

    def handles(self, operation: str, subresource: str, _obj: Any, _old: Any) -> bool:
        return operation in ("CREATE", "UPDATE") and not subresource

    def measures(self, name: str) -> bool:
        return name in self.names or name.endswith(_DEVICE_CLASS)

    def usage(self, obj: Any, _now: datetime) -> Amounts:
        used = dict.fromkeys(self.names, 1)
        for request in obj.spec.devices.requests:
            options = request.first_available or ([request.exactly] if request.exactly is not None else [])
            most: Amounts = {}
            for option in options:
                # How many `All` are, only the allocation tells: as many as a claim can hold.
                count = 32 if option.allocation_mode == "All" else option.count
                name = f"{option.device_class_name}{_DEVICE_CLASS}"
                most[name] = max(most.get(name, 0), count)
            for name, count in most.items():
                used[name] = used.get(name, 0) + count
        return used


_OWN_EVALUATORS: dict[str, type[Evaluator]] = {
    "pods": PodEvaluator, "services": ServiceEvaluator, "persistentvolumeclaims": ClaimEvaluator,
    "resourceclaims.resource.k8s.io": DeviceClaimEvaluator,
}  # fmt: skip


@cache
def evaluator_of(group_resource: str) -> Evaluator | None:
    """Who counts objects of `pods`, `deployments.apps`, ...; None: nobody."""
    if group_resource in IGNORED:
        return None
    return _OWN_EVALUATORS.get(group_resource, Evaluator)(group_resource)


def counted_by(name: str) -> str:
    """The resource that a hard limit's `name` is about (`count/deployments.apps` is `deployments.apps`); or empty."""
    if name.startswith("count/"):
        return name.removeprefix("count/")
    for group_resource in (*_OWN_EVALUATORS, *_ALIASES):
        evaluator = evaluator_of(group_resource)
        if evaluator is not None and evaluator.measures(name):
            return group_resource
    return ""
