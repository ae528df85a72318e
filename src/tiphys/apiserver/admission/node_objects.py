"""NodeRestriction, for what a kubelet writes beside its node, pods and tokens: claims, CSI nodes, slices, requests.

Source: plugin/pkg/admission/noderestriction/admission.go.
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from tiphys.apiserver.admission.refusal import refuse
from tiphys.apiserver.registry.interface import AdmissionRequest

_SIGNERS = ("kubernetes.io/kubelet-serving", "kubernetes.io/kube-apiserver-client-kubelet")


def claim(request: AdmissionRequest, node: str) -> None:
    """A kubelet tells how far an expansion is, and no more."""
    if request.subresource != "status":
        raise refuse(request, "may only update PVC status")
    if request.operation != "UPDATE":
        raise refuse(request, f'unexpected operation "{request.operation}"')
    if _without_progress(request.obj) != _without_progress(request.old):
        raise refuse(
            request, f'node "{node}" is not allowed to update fields other than status.quantity and status.conditions'
        )


def _without_progress(found: Any) -> Any:
    status = replace(found.status, capacity={}, conditions=[], allocated_resources={}, allocated_resource_statuses={})
    return replace(found, metadata=replace(found.metadata, resource_version="", managed_fields=[]), status=status)


def csi_node(request: AdmissionRequest, node: str) -> None:
    name = request.name or (request.obj.metadata.name if request.obj is not None else "")
    if name != node:
        raise refuse(request, "can only access CSINode with the same name as the requesting node")


def resource_slice(request: AdmissionRequest, node: str) -> None:
    verb = {"CREATE": "create", "DELETE": "delete"}.get(request.operation)
    if verb is None:
        return
    found = request.obj if verb == "create" else request.old
    if found.spec.node_name != node:
        text = f"can only {verb} ResourceSlice with the same NodeName as the requesting node"
        raise refuse(request, text)


def signing_request(request: AdmissionRequest, node: str) -> None:
    """A kubelet asks for certificates of its own name only."""
    if request.operation != "CREATE" or request.obj.spec.signer_name not in _SIGNERS:
        return
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    try:
        subject = x509.load_pem_x509_csr(request.obj.spec.request).subject
    except ValueError as error:
        raise refuse(request, f"unable to parse csr: {error}") from None
    names = [str(attribute.value) for attribute in subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    if names != [f"system:node:{node}"]:
        raise refuse(request, f"can only create a node CSR with CN=system:node:{node}")
