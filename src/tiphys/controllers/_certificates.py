"""What the controllers of certificate signing requests share: who is recognised, and how a certificate is signed.

Source: pkg/apis/certificates/v1/helpers.go, pkg/controller/certificates/{approver,signer,authority}.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from tiphys.api.kinds.certificates.validation import parsed

CLIENT, CLIENT_KUBELET = "kubernetes.io/kube-apiserver-client", "kubernetes.io/kube-apiserver-client-kubelet"
SERVING, LEGACY = "kubernetes.io/kubelet-serving", "kubernetes.io/legacy-unknown"
_NODES = "system:nodes"
_BACKDATE, _SHORT = timedelta(minutes=5), timedelta(hours=8)
_SHORTEST = timedelta(minutes=10)


def conditions(request: Any) -> dict[str, Any]:
    """By type."""
    return {condition.type: condition for condition in request.status.conditions}


def subject(csr: Any) -> tuple[str, list[str]]:
    """Common name and organizations."""
    from cryptography.x509.oid import NameOID

    names = csr.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    groups = csr.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    return (str(names[-1].value) if names else ""), [str(group.value) for group in groups]


def alternatives(csr: Any) -> dict[str, list[Any]]:
    """`dns`, `ip`, `email`, `uri` names that are asked for."""
    from cryptography import x509

    found: dict[str, list[Any]] = {"dns": [], "ip": [], "email": [], "uri": []}
    try:
        names = csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return found
    for kind, general in (("dns", x509.DNSName), ("ip", x509.IPAddress), ("email", x509.RFC822Name),
                          ("uri", x509.UniformResourceIdentifier)):  # fmt: skip
        found[kind] = list(names.get_values_for_type(general))
    return found


def complaint(signer: str, csr: Any, usages: Collection[str]) -> str:
    """Why a request is none that this signer signs; empty: it is one."""
    if signer in (CLIENT_KUBELET, SERVING):
        return _node_complaint(csr, frozenset(usages), serving=signer == SERVING)
    if signer == CLIENT:
        return "" if "client auth" in usages else "usages did not match [client auth]"
    return ""


def _node_complaint(csr: Any, usages: frozenset[str], *, serving: bool) -> str:
    name, groups = subject(csr)
    if groups != [_NODES]:
        return "subject organization is not system:nodes"
    asked = alternatives(csr)
    if serving and not asked["dns"] and not asked["ip"]:
        return "DNS or IP subjectAltName is required"
    for kind, shown in (("dns", "DNS"), ("email", "Email"), ("ip", "IP"), ("uri", "URI")):
        if asked[kind] and not (serving and kind in ("dns", "ip")):
            return f"{shown} subjectAltNames are not allowed"
    auth = "server auth" if serving else "client auth"
    if usages not in ({"digital signature", "key encipherment", auth}, {"digital signature", auth}):
        return f"usages did not match [{' '.join(sorted(('digital signature', 'key encipherment', auth)))}]"
    return "" if name.startswith("system:node:") else "subject common name does not begin with system:node:"


def node_client(request: Any) -> tuple[bool, bool]:
    """(it is a kubelet's client request, the node asks for itself). Raises ValueError for what is no PKCS#10."""
    csr = parsed(request.spec.request)
    if request.spec.signer_name != CLIENT_KUBELET or complaint(CLIENT_KUBELET, csr, request.spec.usages):
        return False, False
    return True, subject(csr)[0] == request.spec.username


def lifetime(seconds: int | None, longest: timedelta) -> timedelta:
    """As asked for, but between ten minutes and `longest`."""
    if seconds is None:
        return longest
    return max(min(timedelta(seconds=seconds), longest), _SHORTEST)


def signed(request: Any, ca_cert: bytes, ca_key: bytes, now: datetime, longest: timedelta) -> bytes:
    """The certificate in PEM. Uses randomness. Raises ValueError."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization

    csr = parsed(request.spec.request)
    authority = x509.load_pem_x509_certificate(ca_cert)
    key: Any = serialization.load_pem_private_key(ca_key, None)
    long = lifetime(request.spec.expiration_seconds, longest)
    # A short one is not shortened further by being dated back.
    begins = now - _BACKDATE
    ends = now + long if long < _SHORT else begins + long
    builder = (
        x509.CertificateBuilder()
        .subject_name(csr.subject)
        .issuer_name(authority.subject)
        .public_key(csr.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(min(ends, authority.not_valid_after_utc))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
    )
    for extension, critical in _usages(request.spec.usages):
        builder = builder.add_extension(extension, critical=critical)
    try:
        names = csr.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        builder = builder.add_extension(names.value, critical=names.critical)
    except x509.ExtensionNotFound:
        pass
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


_KEY_USAGES = {
    "signing": "digital_signature", "digital signature": "digital_signature",
    "content commitment": "content_commitment", "key encipherment": "key_encipherment",
    "key agreement": "key_agreement", "data encipherment": "data_encipherment", "cert sign": "key_cert_sign",
    "crl sign": "crl_sign", "encipher only": "encipher_only", "decipher only": "decipher_only",
}  # fmt: skip
_EXTENDED = {
    "any": "2.5.29.37.0", "server auth": "1.3.6.1.5.5.7.3.1", "client auth": "1.3.6.1.5.5.7.3.2",
    "code signing": "1.3.6.1.5.5.7.3.3", "email protection": "1.3.6.1.5.5.7.3.4", "s/mime": "1.3.6.1.5.5.7.3.4",
    "ipsec end system": "1.3.6.1.5.5.7.3.5", "ipsec tunnel": "1.3.6.1.5.5.7.3.6", "ipsec user": "1.3.6.1.5.5.7.3.7",
    "timestamping": "1.3.6.1.5.5.7.3.8", "ocsp signing": "1.3.6.1.5.5.7.3.9",
    "microsoft sgc": "1.3.6.1.4.1.311.10.3.3", "netscape sgc": "2.16.840.1.113730.4.1",
}  # fmt: skip


def _usages(usages: Collection[str]) -> list[tuple[Any, bool]]:
    from cryptography import x509

    flags = {_KEY_USAGES[usage] for usage in usages if usage in _KEY_USAGES}
    found: list[tuple[Any, bool]] = []
    if flags:
        agreement = "key_agreement" in flags
        all_flags = {name: name in flags for name in dict.fromkeys(_KEY_USAGES.values())}
        if not agreement:
            all_flags["encipher_only"] = all_flags["decipher_only"] = False
        found.append((x509.KeyUsage(**all_flags), True))
    extended = sorted({_EXTENDED[usage] for usage in usages if usage in _EXTENDED})
    if extended:
        found.append((x509.ExtendedKeyUsage([x509.ObjectIdentifier(oid) for oid in extended]), False))
    return found
