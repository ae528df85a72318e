"""Writing what a cluster begins with. Idempotent: a second start finds everything and writes nothing."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from tiphys.api.errors import AlreadyExists, ApiError, NotFound
from tiphys.api.kind import new
from tiphys.api.kinds import CONFIGMAP, NAMESPACE, SERVICE
from tiphys.api.kinds.core.service import ServicePort, ServiceSpec
from tiphys.api.meta.schema import copy_of
from tiphys.api.meta.types import DeleteOptions
from tiphys.apiserver.authz.authorizer import MASTERS
from tiphys.apiserver.authz.rules import missing
from tiphys.apiserver.bootstrap import policy
from tiphys.apiserver.registry.interface import Registry, WriteOptions
from tiphys.apiserver.request import User

log = logging.getLogger(__name__)

SYSTEM = User("system:apiserver", groups=(MASTERS, "system:authenticated"))
NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
MANAGER = "kube-apiserver"
_AT_ONCE = 64


def _options() -> WriteOptions:
    return WriteOptions(user=SYSTEM, field_manager=MANAGER)


async def _ensure(registry: Registry, obj: Any, kind: Any) -> bool:
    """Create what is not there; True when it was made."""
    if registry.cache_of(kind).get(obj.metadata.namespace, obj.metadata.name) is not None:
        return False
    try:
        await registry.create(kind, obj.metadata.namespace, obj, _options())
    except AlreadyExists:
        return False
    return True


async def _ensure_all(registry: Registry, objects: Iterable[tuple[Any, Any]]) -> None:
    """Create side by side, so that the store writes them in few transactions."""
    wanted = list(objects)
    for start in range(0, len(wanted), _AT_ONCE):
        async with asyncio.TaskGroup() as group:
            for kind, obj in wanted[start : start + _AT_ONCE]:
                group.create_task(_ensure(registry, obj, kind))


async def namespaces(registry: Registry) -> None:
    """default, kube-system, kube-public, kube-node-lease."""
    await _ensure_all(registry, ((NAMESPACE, new(NAMESPACE, name)) for name in NAMESPACES))


async def rbac(registry: Registry, *, pod_groups: bool = False) -> None:
    """Default roles and bindings: made where absent, widened where an older version left less.

    What an administrator marked `autoupdate: "false"` is left alone. Nothing is ever taken away, as upstream, but for
    the bindings of earlier versions that gave too much. `pod_groups`: PodGroups are served, and roles know them.
    """
    from tiphys.api.kinds import CLUSTERROLE, CLUSTERROLEBINDING, ROLE, ROLEBINDING

    families: tuple[tuple[Any, Callable[[], list[Any]]], ...] = (
        (CLUSTERROLE, partial(policy.cluster_roles, pod_groups=pod_groups)),
        (CLUSTERROLEBINDING, policy.cluster_role_bindings),
        (ROLE, policy.roles),
        (ROLEBINDING, policy.role_bindings),
    )
    absent: list[tuple[Any, Any]] = []
    for kind, make in families:
        for obj in make():
            entry = registry.cache_of(kind).get(obj.metadata.namespace, obj.metadata.name)
            if entry is None:
                absent.append((kind, obj))
            else:
                await _widen(registry, kind, entry.obj, obj)
    await _ensure_all(registry, absent)
    for name in policy.RETIRED_BINDINGS:
        if registry.cache_of(CLUSTERROLEBINDING).get("", name) is not None:
            with contextlib.suppress(NotFound):
                await registry.delete(CLUSTERROLEBINDING, "", name, DeleteOptions(), _options())


async def _widen(registry: Registry, kind: Any, known: Any, wanted: Any) -> None:
    if known.metadata.annotations.get("rbac.authorization.kubernetes.io/autoupdate") != "true":
        return
    if hasattr(wanted, "role_ref"):
        extra = [subject for subject in wanted.subjects if subject not in known.subjects]
        field = "subjects"
    else:
        extra = missing(known.rules, wanted.rules)
        field = "rules"
    if not extra:
        return

    def widened(current: Any) -> Any:
        changed = copy_of(current)
        getattr(changed, field).extend(extra)
        return changed

    try:
        await registry.update(kind, known.metadata.namespace, known.metadata.name, widened, _options())
    except ApiError as error:
        log.warning("%s %s: could not be brought up to date: %s", kind.kind, known.metadata.name, error)


async def service_range(registry: Registry, service_cidr: str) -> None:
    """The ServiceCIDR `kubernetes`, ready: the range of this server."""
    from tiphys.api.kinds import SERVICECIDR
    from tiphys.api.meta.types import Condition

    wanted = new(SERVICECIDR, "kubernetes")
    wanted.spec.cidrs = service_cidr.split(",")
    await _ensure(registry, wanted, SERVICECIDR)

    def ready(current: Any) -> Any:
        changed = copy_of(current)
        if not changed.status.conditions and changed.spec.cidrs == wanted.spec.cidrs:
            now = changed.metadata.creation_timestamp or ""
            text = "Kubernetes default Service CIDR is ready"
            changed.status.conditions = [Condition(type="Ready", status="True", message=text, last_transition_time=now)]
        return changed

    await registry.update(SERVICECIDR, "", "kubernetes", ready, _options().on("status"))


async def kubernetes_service(registry: Registry, service_cidr: str, port: int) -> None:
    """The Service `default/kubernetes` at the range's first address; `endpoints` says where it leads."""
    network = ipaddress.ip_network(service_cidr.partition(",")[0])
    service_ip = str(network[1])
    labels = {"component": "apiserver", "provider": "kubernetes"}
    spec = ServiceSpec(
        type="ClusterIP", cluster_ip=service_ip, cluster_ips=[service_ip], session_affinity="None",
        ip_families=[f"IPv{network.version}"], ip_family_policy="SingleStack",
        ports=[ServicePort(name="https", protocol="TCP", port=443, target_port=port)],
    )  # fmt: skip
    service = new(SERVICE, "kubernetes", "default", spec=spec)
    service.metadata.labels = labels
    await _ensure(registry, service, SERVICE)


async def put(registry: Registry, kind: Any, wanted: Any, *fields: str) -> None:
    """Create, or make `fields` what they should be."""
    if await _ensure(registry, copy_of(wanted), kind):
        return
    metadata = wanted.metadata
    entry = registry.cache_of(kind).get(metadata.namespace, metadata.name)
    if entry is not None and all(getattr(entry.obj, field) == getattr(wanted, field) for field in fields):
        return

    def changed(current: Any) -> Any:
        obj = copy_of(current)
        for field in fields:
            setattr(obj, field, getattr(copy_of(wanted), field))
        return obj

    await registry.update(kind, metadata.namespace, metadata.name, changed, _options())


async def authentication_config(registry: Registry, client_ca: str, front_proxy_ca: str) -> None:
    """kube-system/extension-apiserver-authentication: how extension servers know our users."""
    config = new(CONFIGMAP, "extension-apiserver-authentication", "kube-system")
    config.data = {"client-ca-file": client_ca}
    if front_proxy_ca:
        config.data |= {
            "requestheader-client-ca-file": front_proxy_ca,
            "requestheader-allowed-names": '["front-proxy-client"]',
            "requestheader-username-headers": '["X-Remote-User"]',
            "requestheader-group-headers": '["X-Remote-Group"]',
            "requestheader-extra-headers-prefix": '["X-Remote-Extra-"]',
        }
    await put(registry, CONFIGMAP, config, "data")
