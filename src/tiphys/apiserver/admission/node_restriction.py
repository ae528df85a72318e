"""NodeRestriction: a kubelet writes only its own node, its pods' status, its lease and its pods' tokens.

Source: plugin/pkg/admission/noderestriction.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tiphys.api.kind import Kind
from tiphys.api.kinds import CSIDRIVER, NODE, PERSISTENTVOLUME, PERSISTENTVOLUMECLAIM, POD, SERVICEACCOUNT
from tiphys.apiserver.admission import node_objects
from tiphys.apiserver.admission.plugin import Plugin
from tiphys.apiserver.admission.refusal import refuse
from tiphys.apiserver.authz.authorizer import Authorizer
from tiphys.apiserver.authz.node import LEASE_NAMESPACE, MIRROR_ANNOTATION, node_of, references
from tiphys.apiserver.authz.rbac import Caches
from tiphys.apiserver.registry.interface import AdmissionRequest
from tiphys.apiserver.request import RequestInfo

_KUBELET_LABELS = frozenset({
    "kubernetes.io/hostname", "topology.kubernetes.io/zone", "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/region",
    "beta.kubernetes.io/instance-type", "node.kubernetes.io/instance-type", "kubernetes.io/os", "kubernetes.io/arch",
    "beta.kubernetes.io/os", "beta.kubernetes.io/arch",
})  # fmt: skip
_KUBELET_LABEL_NAMESPACES = ("kubelet.kubernetes.io", "node.kubernetes.io")
_RESTRICTED = "node-restriction.kubernetes.io"


class NodeRestriction(Plugin):
    name = "NodeRestriction"

    def __init__(self, caches: Caches, authorizer: Authorizer) -> None:
        self._authorizer = authorizer
        self._caches = caches
        self._pods = caches.cache_of(POD)
        self._nodes = caches.cache_of(NODE)

    def concerns(self, kind: Kind[Any], operation: str, subresource: str) -> bool:
        return operation != "CONNECT"

    async def admit(self, request: AdmissionRequest) -> None:
        node = node_of(request.user)
        if node is None:
            return
        if not node:
            raise refuse(request, f'could not determine node from user "{request.user.name}"')
        if request.kind is POD:
            self._pod(request, node)
        elif request.kind is NODE:
            _own_node(request, node)
        elif request.kind is SERVICEACCOUNT:
            await self._token(request, node)
        else:
            check = _OTHERS.get(request.kind.group_resource)
            if check is not None:
                check(request, node)

    def _pod(self, request: AdmissionRequest, node: str) -> None:
        if request.subresource == "status":
            self._pod_status(request, node)
        elif request.subresource == "eviction":
            if self._bound_to(request.namespace, request.name) != node:
                raise refuse(request, f"node {node} can only evict pods with spec.nodeName set to itself")
        elif request.subresource:
            raise refuse(
                request,
                f"unexpected pod subresource \"{request.subresource}\", only 'status' and 'eviction' are allowed",
            )
        elif request.operation == "CREATE":
            self._mirror(request, node)
        elif request.operation == "DELETE":
            if self._bound_to(request.namespace, request.name) not in (node, None):
                raise refuse(request, f'node "{node}" can only delete pods with spec.nodeName set to itself')
        else:
            raise refuse(
                request,
                f'unexpected operation "{request.operation}", node "{node}" can only create and delete mirror pods',
            )

    @staticmethod
    def _pod_status(request: AdmissionRequest, node: str) -> None:
        if request.operation != "UPDATE":
            raise refuse(request, f'unexpected operation "{request.operation}"')
        if request.old.spec.node_name != node:
            why = f'node "{node}" can only update pod status for pods with spec.nodeName set to itself'  # noqa: S608 # no SQL
            raise refuse(request, why)
        if request.old.metadata.labels != request.obj.metadata.labels:
            raise refuse(request, f'node "{node}" cannot update labels through pod status')

    def _mirror(self, request: AdmissionRequest, node: str) -> None:
        pod = request.obj
        if MIRROR_ANNOTATION not in pod.metadata.annotations:
            raise refuse(
                request,
                f'pod does not have "{MIRROR_ANNOTATION}" annotation, node "{node}" can only create mirror pods',
            )
        if pod.spec.node_name != node:
            raise refuse(request, f'node "{node}" can only create pods with spec.nodeName set to itself')
        owners = pod.metadata.owner_references
        if len(owners) > 1:
            raise refuse(request, f'node "{node}" can only create pods with a single owner reference set to itself')
        if not owners or (owners[0].api_version, owners[0].kind, owners[0].name) != ("v1", "Node", node):
            raise refuse(request, f'node "{node}" can only create pods with an owner reference set to itself')
        owner = owners[0]
        if not owner.controller:
            raise refuse(request, f'node "{node}" can only create pods with a controller owner reference set to itself')
        if owner.block_owner_deletion:
            raise refuse(request, f'node "{node}" must not set blockOwnerDeletion on an owner reference')
        entry = self._nodes.get("", node)
        uid = entry.obj.metadata.uid if entry is not None else ""
        if owner.uid != uid:
            raise refuse(request, f"node {node} UID mismatch: expected {owner.uid} got {uid}")
        annotations, pod.metadata.annotations = pod.metadata.annotations, {}
        try:
            referenced = sorted(references(pod))
        finally:
            pod.metadata.annotations = annotations
        if referenced:
            raise refuse(request, f'node "{node}" can not create pods that reference {referenced[0][0]}')

    def _bound_to(self, namespace: str, name: str) -> str | None:
        """The node of a pod; None where there is no such pod, which the registry then says."""
        entry = self._pods.get(namespace, name)
        return None if entry is None else str(entry.obj.spec.node_name)

    async def _token(self, request: AdmissionRequest, node: str) -> None:
        if request.operation != "CREATE" or request.subresource != "token":
            return
        ref = request.obj.spec.bound_object_ref
        if ref is None or ref.api_version != "v1" or ref.kind != "Pod" or not ref.name:
            raise refuse(request, "node requested token not bound to a pod")
        if not ref.uid:
            raise refuse(request, "node requested token with a pod binding without a uid")
        entry = self._pods.get(request.namespace, ref.name)
        if entry is None:
            raise refuse(request, f'pods "{ref.name}" not found')
        if entry.obj.metadata.uid != ref.uid:
            raise refuse(
                request,
                f"the UID in the bound object reference ({ref.uid}) does not match the UID in record. "
                "The object might have been deleted and then recreated",
            )
        if entry.obj.spec.node_name != node:
            raise refuse(request, "node requested token bound to a pod scheduled on a different node")
        await self._audience(request, entry.obj)

    async def _audience(self, request: AdmissionRequest, pod: Any) -> None:
        """A kubelet gets tokens only for audiences that a volume of the pod, or its driver, names; or by right."""
        audiences = request.obj.spec.audiences
        if len(audiences) > 1:
            raise refuse(request, "node may only request 0 or 1 audiences")
        wanted = audiences[0] if audiences else ""
        for volume in pod.spec.volumes:
            for source in volume.projected.sources if volume.projected is not None else ():
                if source.service_account_token is not None and source.service_account_token.audience == wanted:
                    return
            if wanted in self._driver_audiences(pod, volume):
                return
        info = RequestInfo(
            verb="request-serviceaccounts-token-audience", path="", is_resource=True, version="v1", resource=wanted,
            namespace=request.namespace, name=request.name,
        )  # fmt: skip
        if await self._authorizer.permits(request.user, info):
            return
        raise refuse(
            request,
            f'audience "{wanted}" not found in pod spec volume, {request.user.name} is not authorized to request '
            "tokens for this audience",
        )

    def _driver_audiences(self, pod: Any, volume: Any) -> set[str]:
        """The audiences of the tokens that a volume's CSI driver asks for."""
        namespace, claim_name, driver = pod.metadata.namespace, "", ""
        if volume.ephemeral is not None:
            claim_name = f"{pod.metadata.name}-{volume.name}"
        elif volume.persistent_volume_claim is not None:
            claim_name = volume.persistent_volume_claim.claim_name
        elif volume.csi is not None:
            driver = volume.csi.driver
        if claim_name:
            held = self._caches.cache_of(PERSISTENTVOLUMECLAIM).get(namespace, claim_name)
            name = held.obj.spec.volume_name if held is not None else ""
            bound = self._caches.cache_of(PERSISTENTVOLUME).get("", name) if name else None
            driver = bound.obj.spec.csi.driver if bound is not None and bound.obj.spec.csi is not None else ""
        found = self._caches.cache_of(CSIDRIVER).get("", driver) if driver else None
        return {asked.audience for asked in found.obj.spec.token_requests} if found is not None else set()


def _own_node(request: AdmissionRequest, node: str) -> None:
    name = request.name or (request.obj.metadata.name if request.obj is not None else "")
    if name != node:
        raise refuse(request, f'node "{node}" is not allowed to modify node "{name}"')
    if request.operation == "CREATE":
        labels = _forbidden(request.obj.metadata.labels, {})
        if labels:
            raise refuse(request, f'node "{node}" is not allowed to set the following labels: {", ".join(labels)}')
    elif request.operation == "UPDATE":
        new, old = request.obj, request.old
        if new.spec.taints != old.spec.taints:
            raise refuse(request, f'node "{node}" is not allowed to modify taints')
        if new.metadata.owner_references != old.metadata.owner_references:
            raise refuse(request, f'node "{node}" is not allowed to modify ownerReferences')
        labels = _forbidden(new.metadata.labels, old.metadata.labels)
        if labels:
            raise refuse(request, f"is not allowed to modify labels: {', '.join(labels)}")


def _forbidden(new: dict[str, str], old: dict[str, str]) -> list[str]:
    """Labels that differ and are not a kubelet's to set: they would let it draw pods to itself."""
    changed = {key for key in new.keys() | old.keys() if new.get(key) != old.get(key)}
    return sorted(key for key in changed if not _kubelet_may_set(key))


def _kubelet_may_set(label: str) -> bool:
    namespace = label.partition("/")[0] if "/" in label else ""
    if namespace == _RESTRICTED or namespace.endswith("." + _RESTRICTED):
        return False
    if not any(namespace == n or namespace.endswith("." + n) for n in ("kubernetes.io", "k8s.io")):
        return True
    if label in _KUBELET_LABELS:
        return True
    return any(namespace == n or namespace.endswith("." + n) for n in _KUBELET_LABEL_NAMESPACES)


def _lease(request: AdmissionRequest, node: str) -> None:
    metadata: Any = request.obj.metadata if request.obj is not None else None
    name = request.name or (metadata.name if metadata is not None else "")
    if request.namespace != LEASE_NAMESPACE:
        raise refuse(request, f'can only access leases in the "{LEASE_NAMESPACE}" system namespace')
    if name != node:
        raise refuse(request, "can only access node lease with the same name as the requesting node")


_OTHERS: dict[str, Callable[[AdmissionRequest, str], None]] = {
    "leases.coordination.k8s.io": _lease,
    "persistentvolumeclaims": node_objects.claim,
    "csinodes.storage.k8s.io": node_objects.csi_node,
    "resourceslices.resource.k8s.io": node_objects.resource_slice,
    "certificatesigningrequests.certificates.k8s.io": node_objects.signing_request,
}
