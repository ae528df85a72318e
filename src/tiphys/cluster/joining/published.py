"""What a cluster publishes so that machines can join it: written by the control plane that leads, once.

    kube-public/cluster-info     the API server's address and CA, for anyone; signed with each token (bootstrapsigner)
    kube-system/tiphys-config    what every node must agree on, for those with a token
    roles and bindings           a token asks for a node's certificate, which is approved; a node renews its own

Source: cmd/kubeadm/app/phases/bootstraptoken (what is granted to whom).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from tiphys.api.errors import AlreadyExists
from tiphys.api.kind import Kind, new
from tiphys.api.kinds import CLUSTERROLE, CLUSTERROLEBINDING, CONFIGMAP, ROLE, ROLEBINDING
from tiphys.api.kinds.rbac.types import PolicyRule, RoleRef, Subject
from tiphys.client import kubeconfig
from tiphys.client.interface import Client
from tiphys.client.kubeconfig import Access
from tiphys.cluster.joining.tokens import CONTROL_PLANES_GROUP, NODES_GROUP
from tiphys.cluster.settings import ClusterSettings

INFO = ("kube-public", "cluster-info")
CONFIG = ("kube-system", "tiphys-config")
KEYS = ("kube-system", "tiphys-keys")
_RBAC = "rbac.authorization.k8s.io"
_APPROVE = "system:certificates.k8s.io:certificatesigningrequests"


_OWN = (
    "isolated", "number", "api_port", "etcd", "etcd_ports", "etcd_host", "etcd_name", "etcd_peers", "etcd_view_port",
    "advertise_address", "joined", "snapshot_interval_s", "snapshot_keep",
)  # fmt: skip
"""Settings that are each machine's own; all others are the cluster's."""


class SharedSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What all machines of a cluster agree on; in kube-system/tiphys-config."""

    cluster: ClusterSettings
    """With what is each machine's own left at its default."""
    store: str
    """`embedded`, `managed` (etcd members beside the control planes) or `etcd`."""


def shared(settings: ClusterSettings, local_volumes: str) -> SharedSettings:
    store = "embedded" if settings.etcd is None else "etcd" if settings.etcd_ports is None else "managed"
    usual = ClusterSettings()
    own: dict[str, Any] = {name: getattr(usual, name) for name in _OWN}
    nodes = settings.nodes if settings.runtime == "simulated" else 1
    cluster = msgspec.structs.replace(settings, **own, nodes=nodes, local_volumes=local_volumes)
    return SharedSettings(cluster=cluster, store=store)


def decode_shared(text: str) -> SharedSettings:
    """Raises ValueError."""
    return msgspec.json.decode(text, type=SharedSettings)


def _granted(kind: Kind[Any], name: str, namespace: str, role: str, subjects: Sequence[Subject]) -> Any:
    role_kind = "Role" if role.startswith("tiphys:") and namespace else "ClusterRole"
    ref = RoleRef(api_group=_RBAC, kind=role_kind, name=role)
    return new(kind, name, namespace, subjects=list(subjects), role_ref=ref)


def _group(name: str) -> Subject:
    return Subject(kind="Group", api_group=_RBAC, name=name)


def _reads(name: str, namespace: str, resource: str, only: str) -> Any:
    rule = PolicyRule(verbs=["get"], api_groups=[""], resources=[resource], resource_names=[only])
    return new(ROLE, name, namespace, rules=[rule])


def objects(settings: ClusterSettings, server: str, ca: bytes, local_volumes: str) -> list[tuple[Kind[Any], Any]]:
    """All of it, in the order in which it is to be made."""
    info = new(CONFIGMAP, INFO[1], INFO[0])
    info.data = {"kubeconfig": kubeconfig.render_cluster(Access(server, ca=ca))}
    config = new(CONFIGMAP, CONFIG[1], CONFIG[0])
    config.data = {"cluster.json": msgspec.json.encode(shared(settings, local_volumes)).decode()}
    get_nodes = new(
        CLUSTERROLE, "tiphys:get-nodes", rules=[PolicyRule(verbs=["get"], api_groups=[""], resources=["nodes"])]
    )
    joiners, control_planes = (_group(NODES_GROUP),), (_group(CONTROL_PLANES_GROUP),)
    anyone = (Subject(kind="User", api_group=_RBAC, name="system:anonymous"),)
    info_role, config_role, keys_role = "tiphys:cluster-info", "tiphys:config", "tiphys:keys"
    return [
        (CONFIGMAP, info),
        (CONFIGMAP, config),
        (ROLE, _reads(info_role, INFO[0], "configmaps", INFO[1])),
        (ROLEBINDING, _granted(ROLEBINDING, info_role, INFO[0], info_role, anyone)),
        (ROLE, _reads(config_role, CONFIG[0], "configmaps", CONFIG[1])),
        (ROLEBINDING, _granted(ROLEBINDING, config_role, CONFIG[0], config_role, joiners)),
        (ROLE, _reads(keys_role, KEYS[0], "secrets", KEYS[1])),
        (ROLEBINDING, _granted(ROLEBINDING, keys_role, KEYS[0], keys_role, control_planes)),
        (CLUSTERROLE, get_nodes),
        *(
            (CLUSTERROLEBINDING, _granted(CLUSTERROLEBINDING, name, "", role, subjects))
            for name, role, subjects in (
                ("tiphys:get-nodes", "tiphys:get-nodes", joiners),
                ("tiphys:node-bootstrap", "system:node-bootstrapper", joiners),
                ("tiphys:node-bootstrap-approval", f"{_APPROVE}:nodeclient", joiners),
                ("tiphys:node-renewal-approval", f"{_APPROVE}:selfnodeclient", (_group("system:nodes"),)),
            )
        ),
    ]


async def publish(client: Client, settings: ClusterSettings, server: str, ca: bytes, local_volumes: str) -> None:
    """Make what is absent, and the two ConfigMaps what they should be. Idempotent."""
    for kind, obj in objects(settings, server, ca, local_volumes):
        try:
            await client.create(kind, obj)
        except AlreadyExists:
            if kind is CONFIGMAP and obj.metadata.name == CONFIG[1]:
                await client.patch(kind, obj.metadata.name, {"data": obj.data}, obj.metadata.namespace)
