"""Certificates, tokens and gathered roles: what each controller makes true, and what it leaves alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.unit.controllers.memory import Bench

from tiphys.api.kind import new
from tiphys.api.kinds import (
    CERTIFICATESIGNINGREQUEST,
    CLUSTERROLE,
    CONFIGMAP,
    SECRET,
    SERVICEACCOUNT,
    SUBJECTACCESSREVIEW,
)
from tiphys.api.kinds.authorization.accessreviews import SubjectAccessReviewStatus
from tiphys.api.kinds.certificates.certificatesigningrequest import (
    CertificateSigningRequestCondition,
    CertificateSigningRequestSpec,
)
from tiphys.api.kinds.core.references import ObjectReference
from tiphys.api.kinds.rbac.types import AggregationRule, PolicyRule
from tiphys.api.meta.types import LabelSelector
from tiphys.base import pki
from tiphys.base.clock import rfc3339
from tiphys.controllers import (
    bootstrap_signer,
    clusterrole_aggregation,
    csr_approving,
    csr_cleaner,
    csr_signing,
    legacy_token_cleaner,
    serviceaccount_token,
    token_cleaner,
)
from tiphys.controllers._spec import Key
from tiphys.controllers.settings import ControllerSettings

CA = pki.new_ca("ca", now=datetime(2026, 1, 1, tzinfo=UTC))
SETTINGS = ControllerSettings(
    root_ca="CA", signing_cert=CA.certificate.decode(), signing_key=CA.key.decode(),
    service_account_key=pki.new_signing_key().decode(),
)  # fmt: skip
REQUEST = Key("", "r")
NODE_USAGES = ["digital signature", "client auth"]


def pkcs10(name: str, *groups: str, dns: str = "") -> bytes:
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, name)]
    parts += [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(parts))
    if dns:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(dns)]), critical=False)
    return builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256()).public_bytes(
        serialization.Encoding.PEM
    )


def csr(request: bytes, signer: str, *, approved: bool = True, **spec: Any) -> Any:
    made = new(CERTIFICATESIGNINGREQUEST, "r", spec=CertificateSigningRequestSpec(
        request=request, signer_name=signer, **{"usages": NODE_USAGES, **spec}))  # fmt: skip
    if approved:
        made.status.conditions = [CertificateSigningRequestCondition(type="Approved", status="True")]
    return made


async def settled(spec: Any, *objects: tuple[Any, Any], key: Key = REQUEST) -> Bench:
    bench = Bench(spec, settings=SETTINGS)
    for kind, obj in objects:
        bench.client.put(kind, obj)
    await bench.settle(key)
    return bench


def one(bench: Bench, kind: Any, name: str = "r", namespace: str = "") -> Any:
    return bench.client.informer(kind).get(name, namespace)


@pytest.mark.parametrize(
    ("signer", "request_", "usages", "failure"),
    [
        ("kubernetes.io/kube-apiserver-client", pkcs10("bob"), ["client auth"], ""),
        ("kubernetes.io/kube-apiserver-client", pkcs10("bob"), ["server auth"], "usages did not match [client auth]"),
        ("kubernetes.io/kube-apiserver-client-kubelet", pkcs10("system:node:a", "system:nodes"), NODE_USAGES, ""),
        ("kubernetes.io/kube-apiserver-client-kubelet", pkcs10("system:node:a"), NODE_USAGES,
         "subject organization is not system:nodes"),
        ("kubernetes.io/kube-apiserver-client-kubelet", pkcs10("system:node:a", "system:nodes", dns="x"), NODE_USAGES,
         "DNS subjectAltNames are not allowed"),
        ("kubernetes.io/kubelet-serving", pkcs10("system:node:a", "system:nodes", dns="a"),
         ["digital signature", "server auth"], ""),
        ("kubernetes.io/kubelet-serving", pkcs10("system:node:a", "system:nodes"),
         ["digital signature", "server auth"], "DNS or IP subjectAltName is required"),
    ],
)  # fmt: skip
async def test_signing(signer: str, request_: bytes, usages: list[str], failure: str) -> None:
    bench = await settled(csr_signing.SPEC, (CERTIFICATESIGNINGREQUEST, csr(request_, signer, usages=usages)))
    found = one(bench, CERTIFICATESIGNINGREQUEST)
    if failure:
        condition = found.status.conditions[-1]
        assert (condition.type, condition.reason, condition.message) == ("Failed", "SignerValidationFailure", failure)
        assert not found.status.certificate
        return
    made = x509.load_pem_x509_certificate(bytes(found.status.certificate))
    made.verify_directly_issued_by(x509.load_pem_x509_certificate(CA.certificate))
    asked = x509.load_pem_x509_csr(request_)
    assert made.subject == asked.subject
    assert made.public_key() == asked.public_key()
    assert made.not_valid_after_utc - made.not_valid_before_utc == timedelta(days=365)


async def test_a_short_life_is_given_in_full() -> None:
    request = csr(pkcs10("bob"), "kubernetes.io/kube-apiserver-client", expiration_seconds=600)
    bench = await settled(csr_signing.SPEC, (CERTIFICATESIGNINGREQUEST, request))
    made = x509.load_pem_x509_certificate(bytes(one(bench, CERTIFICATESIGNINGREQUEST).status.certificate))
    assert made.not_valid_after_utc - bench.clock.now() == timedelta(seconds=600)


@pytest.mark.parametrize("signer", ["example.com/x", "kubernetes.io/other"])
async def test_other_signers_are_left_to_others(signer: str) -> None:
    bench = await settled(csr_signing.SPEC, (CERTIFICATESIGNINGREQUEST, csr(pkcs10("bob"), signer)))
    assert not one(bench, CERTIFICATESIGNINGREQUEST).status.certificate


@pytest.mark.parametrize(
    ("username", "granted", "message"),
    [
        ("system:node:a", {"selfnodeclient"}, "Auto approving self kubelet client certificate after"),
        ("system:bootstrap:x", {"nodeclient"}, "Auto approving kubelet client certificate after"),
        ("system:bootstrap:x", {"selfnodeclient"}, ""),
        ("bob", set(), ""),
    ],
)
async def test_approving(username: str, granted: set[str], message: str) -> None:
    request = csr(
        pkcs10("system:node:a", "system:nodes"), "kubernetes.io/kube-apiserver-client-kubelet", approved=False,
        username=username,
    )  # fmt: skip
    bench = Bench(csr_approving.SPEC, settings=SETTINGS)
    bench.client.put(CERTIFICATESIGNINGREQUEST, request)
    create = bench.client.create

    async def answering(kind: Any, obj: Any, **more: Any) -> Any:
        if kind != SUBJECTACCESSREVIEW:
            return await create(kind, obj, **more)
        assert obj.spec.user == username
        obj.status = SubjectAccessReviewStatus(allowed=obj.spec.resource_attributes.subresource in granted)
        return obj

    bench.client.create = answering  # type: ignore[method-assign]
    await bench.settle(Key("", "r"))
    conditions = one(bench, CERTIFICATESIGNINGREQUEST).status.conditions
    assert [c.type for c in conditions] == (["Approved"] if message else [])
    assert not message or conditions[0].message.startswith(message)


async def test_cleaning() -> None:
    bench = Bench(csr_cleaner.SPEC, settings=SETTINGS)
    now = bench.clock.now()
    for name, age_h, kind, gone in (
        ("new", 1, "", False), ("old", 25, "", True), ("decided", 2, "Denied", True), ("fresh", 0, "Approved", False),
    ):  # fmt: skip
        request = csr(b"", "example.com/x", approved=False)
        request.metadata.name = name
        moment = rfc3339(now - timedelta(hours=age_h))
        request.metadata.creation_timestamp = moment
        if kind:
            condition = CertificateSigningRequestCondition(type=kind, status="True", last_update_time=moment)
            request.status.conditions = [condition]
        bench.client.put(CERTIFICATESIGNINGREQUEST, request)
        await bench.settle(Key("", name))
        assert (one(bench, CERTIFICATESIGNINGREQUEST, name) is None) is gone, name


def role(name: str, rules: list[PolicyRule], **labels: str) -> Any:
    made = new(CLUSTERROLE, name, rules=rules)
    made.metadata.labels = labels
    return made


async def test_roles_are_gathered() -> None:
    first, second = PolicyRule(verbs=["get"], resources=["a"]), PolicyRule(verbs=["get"], resources=["b"])
    gathering = role("r", [PolicyRule(verbs=["*"])], to="all")
    selectors = [LabelSelector(match_labels={"to": "all"}), LabelSelector(match_labels={"to": "some"})]
    gathering.aggregation_rule = AggregationRule(cluster_role_selectors=selectors)
    bench = await settled(
        clusterrole_aggregation.SPEC, (CLUSTERROLE, gathering), (CLUSTERROLE, role("z", [second], to="all")),
        (CLUSTERROLE, role("a", [first, second], to="all")), (CLUSTERROLE, role("other", [first], to="none")),
    )  # fmt: skip
    assert one(bench, CLUSTERROLE).rules == [first, second]


def token_secret(**data: str) -> Any:
    stated = {"token-id": "abcdef", "token-secret": "0123456789abcdef", "usage-bootstrap-signing": "true", **data}
    secret = new(SECRET, "bootstrap-token-abcdef", "kube-system")
    secret.type = "bootstrap.kubernetes.io/token"
    secret.data = {name: value.encode() for name, value in stated.items()}
    return secret


async def test_cluster_info_is_signed_by_every_token() -> None:
    key = bootstrap_signer.CLUSTER_INFO
    info = new(CONFIGMAP, key.name, key.namespace, data={"kubeconfig": "k", "jws-kubeconfig-gonegg": "x", "own": "y"})
    bench = await settled(bootstrap_signer.SPEC, (CONFIGMAP, info), (SECRET, token_secret()), key=key)
    data = one(bench, CONFIGMAP, key.name, key.namespace).data
    assert set(data) == {"kubeconfig", "own", "jws-kubeconfig-abcdef"}
    header, middle, _ = data["jws-kubeconfig-abcdef"].split(".")
    assert header == "eyJhbGciOiJIUzI1NiIsImtpZCI6ImFiY2RlZiJ9"
    assert middle == ""


@pytest.mark.parametrize(
    ("data", "signs"),
    [
        ({"token-secret": "Of any form"}, True),
        ({"token-secret": ""}, False),
        ({"token-id": "others"}, False),
        ({"usage-bootstrap-signing": "false"}, False),
    ],
)
async def test_which_tokens_sign(data: dict[str, str], signs: bool) -> None:
    key = bootstrap_signer.CLUSTER_INFO
    info = new(CONFIGMAP, key.name, key.namespace, data={"kubeconfig": "k"})
    bench = await settled(bootstrap_signer.SPEC, (CONFIGMAP, info), (SECRET, token_secret(**data)), key=key)
    assert ("jws-kubeconfig-abcdef" in one(bench, CONFIGMAP, key.name, key.namespace).data) == signs


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
def test_the_signature_is_one_that_others_check() -> None:
    import base64

    import jwt

    header, _, signature = bootstrap_signer.signature("content", "abcdef", "0123456789abcdef").split(".")
    whole = f"{header}.{base64.urlsafe_b64encode(b'content').decode().rstrip('=')}.{signature}"
    decoded = jwt.api_jws.decode(whole, b"0123456789abcdef", algorithms=["HS256"])
    assert decoded == b"content"


@pytest.mark.parametrize(("expires_in_s", "gone"), [(60, False), (-60, True)])
async def test_expired_tokens_go(expires_in_s: int, gone: bool) -> None:
    bench = Bench(token_cleaner.SPEC, settings=SETTINGS)
    moment = rfc3339(bench.clock.now() + timedelta(seconds=expires_in_s))
    bench.client.put(SECRET, token_secret(expiration=moment))
    await bench.settle(Key("kube-system", "bootstrap-token-abcdef"))
    assert (one(bench, SECRET, "bootstrap-token-abcdef", "kube-system") is None) is gone


def account_secret(account: Any, **more: Any) -> Any:
    secret = new(SECRET, "s", "default", **more)
    secret.type = serviceaccount_token.TYPE
    secret.metadata.annotations = {"kubernetes.io/service-account.name": account.metadata.name}
    return secret


async def test_secrets_of_service_accounts_are_filled() -> None:
    import jwt

    bench = Bench(serviceaccount_token.SPEC, settings=SETTINGS)
    account = bench.client.put(SERVICEACCOUNT, new(SERVICEACCOUNT, "robot", "default"))
    bench.client.put(SECRET, account_secret(account))
    await bench.settle(Key("default", "s"))
    secret = one(bench, SECRET, "s", "default")
    assert bytes(secret.data["ca.crt"]) == b"CA"
    assert bytes(secret.data["namespace"]) == b"default"
    assert secret.metadata.annotations["kubernetes.io/service-account.uid"] == account.metadata.uid
    claims = jwt.decode(bytes(secret.data["token"]), options={"verify_signature": False})
    assert claims["sub"] == "system:serviceaccount:default:robot"
    assert claims["kubernetes.io/serviceaccount/secret.name"] == "s"


@pytest.mark.parametrize(
    ("age_days", "label", "outcome"),
    [(300, "", "kept"), (400, "", "marked"), (400, "recent", "kept"), (800, "invalid", "gone")],
)
async def test_old_tokens_are_marked_and_then_removed(age_days: int, label: str, outcome: str) -> None:
    bench = Bench(legacy_token_cleaner.SPEC, settings=SETTINGS)
    now = bench.clock.now()

    def date(days: int) -> str:
        return (now - timedelta(days=days)).strftime("%Y-%m-%d")

    account = new(SERVICEACCOUNT, "robot", "default")
    account.secrets = [ObjectReference(name="s")]
    bench.client.put(SERVICEACCOUNT, account)
    tracking = legacy_token_cleaner.TRACKING
    bench.client.put(CONFIGMAP, new(CONFIGMAP, tracking.name, tracking.namespace, data={"since": date(2000)}))
    secret = account_secret(account)
    secret.metadata.creation_timestamp = rfc3339(now - timedelta(days=age_days))
    if label:
        name = legacy_token_cleaner.LAST_USED if label == "recent" else legacy_token_cleaner.INVALID_SINCE
        secret.metadata.labels = {name: date(10 if label == "recent" else 400)}
    bench.client.put(SECRET, secret)
    await bench.settle(Key("default", "s"))
    found = one(bench, SECRET, "s", "default")
    assert (found is None) is (outcome == "gone")
    if outcome == "marked":
        assert found.metadata.labels[legacy_token_cleaner.INVALID_SINCE] == date(0)
