"""The Node authorizer: a kubelet reads what the pods on its node need, and nothing else.

Which node needs which object is counted from the pods in the watch cache, so that a decision is one look-up.
Source: plugin/pkg/auth/authorizer/node/node_authorizer.go, graph.go.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from tiphys.api.kinds import POD
from tiphys.apiserver.authz.decision import ALLOWED, NO_OPINION, Decision
from tiphys.apiserver.authz.decision import Rules as UserRules
from tiphys.apiserver.authz.node_belongings import Belongings
from tiphys.apiserver.authz.rbac import Caches
from tiphys.apiserver.authz.rules import Rule
from tiphys.apiserver.registry.interface import Entry
from tiphys.apiserver.request import RequestInfo, User

NODES_GROUP = "system:nodes"
USER_PREFIX = "system:node:"
MIRROR_ANNOTATION = "kubernetes.io/config.mirror"
LEASE_NAMESPACE = "kube-node-lease"
_SECRET_SOURCES = ("cephfs", "flex_volume", "iscsi", "rbd", "scale_io", "storageos")
_ALIKE_MAX = 4096
_READS = frozenset({"get", "list", "watch"})

Reference = tuple[str, str]
"""(resource, name) in the pod's namespace."""


def node_of(user: User) -> str | None:
    """The node's name; empty for a member of system:nodes with no node's name, None for anyone else."""
    if NODES_GROUP not in user.groups:
        return None
    return user.name[len(USER_PREFIX) :] if user.name.startswith(USER_PREFIX) else ""


def _volume_references(volume: Any) -> Iterator[Reference]:
    if volume.secret is not None:
        yield "secrets", volume.secret.secret_name
    if volume.config_map is not None:
        yield "configmaps", volume.config_map.name
    if volume.persistent_volume_claim is not None:
        yield "persistentvolumeclaims", volume.persistent_volume_claim.claim_name
    for name in _SECRET_SOURCES:
        reference = getattr(getattr(volume, name, None), "secret_ref", None)
        if reference is not None:
            yield "secrets", reference.name
    if volume.csi is not None and volume.csi.node_publish_secret_ref is not None:
        yield "secrets", volume.csi.node_publish_secret_ref.name
    if volume.azure_file is not None:
        yield "secrets", volume.azure_file.secret_name
    if volume.projected is not None:
        for part in volume.projected.sources:
            if part.secret is not None:
                yield "secrets", part.secret.name
            if part.config_map is not None:
                yield "configmaps", part.config_map.name


def _claim_references(pod: Any) -> Iterator[Reference]:
    """Resource claims, also those that were made for the pod; claims of its ephemeral volumes."""
    made = {status.name: status.resource_claim_name for status in pod.status.resource_claim_statuses}
    for claim in pod.spec.resource_claims:
        name = claim.resource_claim_name or made.get(claim.name)
        if name:
            yield "resourceclaims", name
    extended = pod.status.extended_resource_claim_status
    if extended is not None and extended.resource_claim_name:
        yield "resourceclaims", extended.resource_claim_name
    for volume in pod.spec.volumes:
        if volume.ephemeral is not None:
            yield "persistentvolumeclaims", f"{pod.metadata.name}-{volume.name}"


def references(pod: Any) -> set[Reference]:
    """Every object that the pod's kubelet must read. A mirror pod grants nothing: its node wrote it."""
    if MIRROR_ANNOTATION in pod.metadata.annotations:
        return set()
    spec = pod.spec
    found: set[Reference] = {("serviceaccounts", spec.service_account_name)} if spec.service_account_name else set()
    found |= {("secrets", reference.name) for reference in spec.image_pull_secrets}
    for volume in spec.volumes:
        found.update(_volume_references(volume))
    found.update(_claim_references(pod))
    for container in (*spec.init_containers, *spec.containers, *spec.ephemeral_containers):
        for variable in container.env:
            source = variable.value_from
            if source is None:
                continue
            if source.secret_key_ref is not None:
                found.add(("secrets", source.secret_key_ref.name))
            if source.config_map_key_ref is not None:
                found.add(("configmaps", source.config_map_key_ref.name))
        for whole in container.env_from:
            if whole.secret_ref is not None:
                found.add(("secrets", whole.secret_ref.name))
            if whole.config_map_ref is not None:
                found.add(("configmaps", whole.config_map_ref.name))
    return found


class NodeAuthorizer:
    """`rules` are those of the ClusterRole system:node: they hold where nothing finer is said."""

    def __init__(self, caches: Caches, rules: Iterable[Rule]) -> None:
        self._rules = tuple(rules)
        self._needs: dict[tuple[str, str, str], Counter[str]] = {}
        """(resource, namespace, name) -> node -> how many of its pods need it."""
        self._pods: dict[str, tuple[str, str, frozenset[Reference]]] = {}
        """pod's UID -> (node, namespace, references): what `_needs` counts for it."""
        self._alike: dict[frozenset[Reference], frozenset[Reference]] = {}
        """Pods of one template share their references."""
        self._belongings = Belongings(caches, self.needs)
        cache = self._cache = caches.cache_of(POD)
        self._unsubscribe = cache.subscribe(self._changed)
        for entry in cache.entries():
            self._changed("ADDED", entry, None)

    def close(self) -> None:
        self._unsubscribe()

    def _changed(self, _type: str, new: Entry | None, old: Entry | None) -> None:
        entry = new or old
        if entry is None:
            return
        pod = entry.obj
        node = pod.spec.node_name
        known = pod.metadata.uid in self._pods
        if new is not None and not known and not node:
            return
        if new is not None and known and not pod.spec.ephemeral_containers and not pod.spec.resource_claims:
            return  # what a bound pod references changes only by containers added to it and claims made for it
        self._forget(pod.metadata.uid)
        if new is None or not node:
            return
        namespace = entry.namespace
        if len(self._alike) >= _ALIKE_MAX:
            self._alike.clear()
        needed = frozenset(references(pod))
        needed = self._alike.setdefault(needed, needed)
        self._pods[pod.metadata.uid] = (node, namespace, needed)
        for resource, name in needed:
            self._needs.setdefault((resource, namespace, name), Counter())[node] += 1

    def _forget(self, uid: str) -> None:
        node, namespace, needed = self._pods.pop(uid, ("", "", frozenset()))
        for resource, name in needed:
            counts = self._needs[resource, namespace, name]
            counts[node] -= 1
            if counts[node] <= 0:
                del counts[node]
            if not counts:
                del self._needs[resource, namespace, name]

    def needs(self, node: str, resource: str, namespace: str, name: str) -> bool:
        """Whether a pod on the node needs the object, or is it."""
        if resource == "pods":
            entry = self._cache.get(namespace, name)
            return entry is not None and entry.obj.spec.node_name == node
        return node in self._needs.get((resource, namespace, name), ())

    def check(self, user: User, info: RequestInfo) -> tuple[bool, str]:
        """Whether to allow, and if not, why in upstream's words (empty: no opinion)."""
        node = node_of(user)
        if node is None:
            return False, ""
        if not node:
            return False, f'unknown node for user "{user.name}"'
        if info.is_resource:
            finer = self._finer(info)
            if finer is not None:
                why = finer(self, node, info)
                return (True, "") if why is None else (False, why)
        return any(rule.allows(info, info.name) for rule in self._rules), ""

    def decide(self, user: User, info: RequestInfo) -> Decision:
        allowed, why = self.check(user, info)
        if allowed:
            return ALLOWED
        return Decision(reason=why) if why else NO_OPINION

    def rules_for(self, user: User, _namespace: str) -> UserRules:
        # Only nodes are told, as only their list would lack something.
        unlisted = node_of(user) is not None
        return UserRules([], ["node authorizer does not support user rule resolution"] if unlisted else [])

    def _finer(self, info: RequestInfo) -> Any:
        return _FINER.get((info.group, info.resource))

    def related(self, node: str, info: RequestInfo) -> str | None:
        if not info.name:
            return "No Object name found"
        if self.needs(node, info.resource, info.namespace, info.name) or self._belongings.related(node, info):
            return None
        return f"no relationship found between node '{node}' and this object"


def _readable(authorizer: NodeAuthorizer, node: str, info: RequestInfo) -> str | None:
    if info.verb not in _READS:
        return "can only read resources of this type"
    if info.subresource:
        return "cannot read subresource"
    if not info.namespace:
        return "can only read namespaced object of this type"
    return authorizer.related(node, info)


def _gettable(authorizer: NodeAuthorizer, node: str, info: RequestInfo) -> str | None:
    if info.verb != "get":
        return "can only get individual resources of this type"
    if info.subresource:
        return "cannot get subresource"
    return authorizer.related(node, info)


def _service_account(authorizer: NodeAuthorizer, node: str, info: RequestInfo) -> str | None:
    if info.verb == "get" and not info.subresource:
        return _readable(authorizer, node, info)
    if info.verb != "create" or not info.name:
        return "can only create tokens for individual service accounts"
    if info.subresource != "token":
        return "can only create token subresource of serviceaccount"
    return authorizer.related(node, info)


def _lease(_authorizer: NodeAuthorizer, node: str, info: RequestInfo) -> str | None:
    if info.verb not in ("get", "create", "update", "patch", "delete"):
        return "can only get, create, update, patch, or delete a node lease"
    if info.namespace != LEASE_NAMESPACE:
        return f'can only access leases in the "{LEASE_NAMESPACE}" system namespace'
    if info.verb != "create" and info.name != node:
        return "can only access node lease with the same name as the requesting node"
    return None


def _node(_authorizer: NodeAuthorizer, node: str, info: RequestInfo) -> str | None:
    if info.subresource == "" and info.verb in ("create", "update", "patch"):
        return None
    if info.subresource == "" and info.verb in _READS:
        if info.name == node:
            return None
        if not info.name:
            return f"node '{node}' cannot read all nodes, only its own Node object"
        return f"node '{node}' cannot read '{info.name}', only its own Node object"
    if info.subresource == "status" and info.verb in ("update", "patch"):
        return None
    return ""


def _pod(authorizer: NodeAuthorizer, node: str, info: RequestInfo) -> str | None:
    verb = info.verb
    if info.subresource == "":
        if verb == "get":
            return _gettable(authorizer, node, info)
        if verb in ("list", "watch"):
            if _selects(info, "spec.nodeName", node):
                return None
            if info.name:
                return authorizer.related(node, info)
            return "can only list/watch pods with spec.nodeName field selector"
        if verb in ("create", "delete"):
            return None
    if info.subresource == "status" and verb in ("update", "patch"):
        return None
    if info.subresource == "eviction" and verb == "create":
        return None
    return ""


def _selects(info: RequestInfo, field: str, value: str) -> bool:
    for text in info.query.get("fieldSelector", ())[:1]:
        for term in text.split(","):
            key, equals, wanted = term.partition("=")
            if equals and key.strip() == field and wanted.removeprefix("=") == value:
                return True
    return False


def _claim(authorizer: NodeAuthorizer, node: str, info: RequestInfo) -> str | None:
    if info.subresource != "status":
        return _gettable(authorizer, node, info)
    if info.verb not in ("update", "patch"):
        return "can only get/update/patch this type"
    return authorizer.related(node, info)


def _csi_node(_authorizer: NodeAuthorizer, node: str, info: RequestInfo) -> str | None:
    if info.verb not in ("get", "create", "update", "patch", "delete"):
        return "can only get, create, update, patch, or delete a CSINode"
    if info.subresource:
        return "cannot authorize CSINode subresources"
    if info.verb != "create" and info.name != node:
        return "can only access CSINode with the same name as the requesting node"
    return None


def _slice(authorizer: NodeAuthorizer, node: str, info: RequestInfo) -> str | None:
    if info.subresource:
        return "cannot authorize ResourceSlice subresources"
    if info.verb == "create":
        return None
    if info.verb in ("get", "update", "patch", "delete"):
        return authorizer.related(node, info)
    if info.verb in ("watch", "list", "deletecollection"):
        if _selects(info, "spec.nodeName", node):
            return None
        return "can only list/watch/deletecollection resourceslices with nodeName field selector"
    return (
        "only the following verbs are allowed for a ResourceSlice: get, watch, list, create, update, patch, delete, "
        "deletecollection"
    )


def _certificate_request(authorizer: NodeAuthorizer, node: str, info: RequestInfo) -> str | None:
    if info.subresource:
        return "nodes may not access the status subresource of PodCertificateRequests"
    if info.verb == "create":
        return None
    if info.verb == "get":
        return authorizer.related(node, info)
    if info.verb in ("list", "watch"):
        if _selects(info, "spec.nodeName", node):
            return None
        return "can only list/watch podcertificaterequests with nodeName field selector"
    return f"nodes may not {info.verb} podcertificaterequests"


_FINER: dict[tuple[str, str], Any] = {
    ("", "persistentvolumes"): _gettable,
    ("resource.k8s.io", "resourceclaims"): _gettable,
    ("resource.k8s.io", "resourceslices"): _slice,
    ("storage.k8s.io", "volumeattachments"): _gettable,
    ("storage.k8s.io", "csinodes"): _csi_node,
    ("certificates.k8s.io", "podcertificaterequests"): _certificate_request,
    ("", "secrets"): _readable,
    ("", "configmaps"): _readable,
    ("", "persistentvolumeclaims"): _claim,
    ("", "serviceaccounts"): _service_account,
    ("coordination.k8s.io", "leases"): _lease,
    ("", "nodes"): _node,
    ("", "pods"): _pod,
}
