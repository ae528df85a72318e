"""CertificateSubjectRestriction: nobody gets a client certificate of system:masters by asking the API.

Source: plugin/pkg/admission/certificates/subjectrestriction.
"""

from __future__ import annotations

from typing import Any

from tiphys.api.kind import Kind
from tiphys.api.kinds import CERTIFICATESIGNINGREQUEST
from tiphys.api.kinds.certificates.validation import parsed
from tiphys.apiserver.admission.plugin import Plugin
from tiphys.apiserver.admission.refusal import refuse
from tiphys.apiserver.registry.interface import AdmissionRequest

_SIGNER = "kubernetes.io/kube-apiserver-client"


class CertificateSubjectRestriction(Plugin):
    name = "CertificateSubjectRestriction"

    def concerns(self, kind: Kind[Any], operation: str, subresource: str) -> bool:
        return kind == CERTIFICATESIGNINGREQUEST and operation == "CREATE" and not subresource

    async def validate(self, request: AdmissionRequest) -> None:
        spec = request.obj.spec
        if spec.signer_name != _SIGNER:
            return
        from cryptography.x509.oid import NameOID

        try:
            subject = parsed(spec.request).subject
        except ValueError as error:
            raise refuse(request, f"failed to parse CSR: {error}") from error
        if any(group.value == "system:masters" for group in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)):
            raise refuse(request, f"use of {_SIGNER} signer with system:masters group is not allowed")
