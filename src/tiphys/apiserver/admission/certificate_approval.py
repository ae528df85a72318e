"""CertificateApproval and CertificateSigning: whoever approves or signs a request must be allowed to for its signer.

Source: plugin/pkg/admission/certificates/{approval,signing}, staging/src/k8s.io/apiserver/pkg/... certauthorization.
"""

from __future__ import annotations

from typing import Any

from tiphys.api.kind import Kind
from tiphys.api.kinds import CERTIFICATESIGNINGREQUEST
from tiphys.apiserver.admission.plugin import Plugin
from tiphys.apiserver.admission.refusal import refuse
from tiphys.apiserver.authz.authorizer import Authorizer
from tiphys.apiserver.registry.interface import AdmissionRequest
from tiphys.apiserver.request import RequestInfo, User


async def may(authorizer: Authorizer, user: User, verb: str, signer: str) -> bool:
    """Whether the user has `verb` on the signer, or on all of its domain (`example.com/*`)."""
    for name in (signer, f"{signer.partition('/')[0]}/*"):
        info = RequestInfo(
            verb=verb, path="", is_resource=True, group="certificates.k8s.io", version="*", resource="signers",
            name=name,
        )  # fmt: skip
        if await authorizer.permits(user, info):
            return True
    return False


class CertificateApproval(Plugin):
    """Judged by the signer that the stored request names."""

    name = "CertificateApproval"

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    def concerns(self, kind: Kind[Any], operation: str, subresource: str) -> bool:
        return kind == CERTIFICATESIGNINGREQUEST and operation == "UPDATE" and subresource == "approval"

    async def validate(self, request: AdmissionRequest) -> None:
        signer = request.old.spec.signer_name
        if not await may(self._authorizer, request.user, "approve", signer):
            raise refuse(request, f'user not permitted to approve requests with signerName "{signer}"')


class CertificateSigning(Plugin):
    """Only where certificate or conditions change."""

    name = "CertificateSigning"

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    def concerns(self, kind: Kind[Any], operation: str, subresource: str) -> bool:
        return kind == CERTIFICATESIGNINGREQUEST and operation == "UPDATE" and subresource == "status"

    async def validate(self, request: AdmissionRequest) -> None:
        if request.old.status == request.obj.status:
            return
        signer = request.old.spec.signer_name
        if not await may(self._authorizer, request.user, "sign", signer):
            raise refuse(request, f'user not permitted to sign requests with signerName "{signer}"')
