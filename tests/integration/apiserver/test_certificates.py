"""Certificate signing requests over HTTP: who asked, who approves, who signs, and what nobody may change."""

from __future__ import annotations

import base64
from typing import Any

from api_harness import RunningServer
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

PATH = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
SIGNER = "example.com/ours"


def request_for(name: str, *groups: str) -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, name)]
    parts += [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    made = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(parts)).sign(key, hashes.SHA256())
    return base64.b64encode(made.public_bytes(serialization.Encoding.PEM)).decode()


def body(name: str, signer: str = SIGNER, request: str = "", **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name},
        "spec": {"signerName": signer, "usages": ["client auth"], "request": request or request_for("bob"), **spec},
    }


def verdict(api: RunningServer, name: str, kind: str, **how: Any) -> Any:
    current = api.request("GET", f"{PATH}/{name}").json
    current["status"]["conditions"] = [{"type": kind, "status": "True", "reason": "Test", "message": "m"}]
    return api.request("PUT", f"{PATH}/{name}/approval", current, **how)


def test_who_asks_is_written_down(api: RunningServer) -> None:
    forged = body("c-who", username="mallory", groups=["system:masters"])
    made = api.request("POST", PATH, {**forged, "status": {"conditions": [{"type": "Approved", "status": "True"}]}})
    assert made.status == 201, made.body
    assert made.json["spec"]["username"] == "kubernetes-admin"
    assert made.json["spec"]["groups"] == ["system:masters", "system:authenticated"]
    assert made.json["status"] == {}


def test_approval_and_certificate_have_their_own_paths(api: RunningServer) -> None:
    assert api.request("POST", PATH, body("c-life")).status == 201
    approved = verdict(api, "c-life", "Approved")
    assert approved.status == 200, approved.body
    condition = approved.json["status"]["conditions"][0]
    assert condition["lastUpdateTime"]
    assert condition["lastTransitionTime"]
    denied = verdict(api, "c-life", "Denied")
    assert denied.status == 422
    assert 'updates may not remove a condition of type "Approved"' in denied.json["message"]

    current = api.request("GET", f"{PATH}/c-life").json
    current["status"]["certificate"] = base64.b64encode(api.ca.read_bytes()).decode()
    refused = api.request("PUT", f"{PATH}/c-life/approval", current)
    assert refused.status == 200  # the certificate is taken back: it is not this path's to set
    assert "certificate" not in refused.json["status"]
    current["metadata"]["resourceVersion"] = refused.json["metadata"]["resourceVersion"]
    signed = api.request("PUT", f"{PATH}/c-life/status", current)
    assert signed.status == 200, signed.body
    columns = api.request("GET", f"{PATH}/c-life", headers={"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"})
    cells = columns.json["rows"][0]["cells"]
    assert (cells[0], cells[2], cells[3], cells[4], cells[5]) == (
        "c-life", SIGNER, "kubernetes-admin", "<none>", "Approved,Issued",
    )  # fmt: skip
    current["metadata"]["resourceVersion"] = signed.json["metadata"]["resourceVersion"]
    current["status"]["certificate"] = base64.b64encode(b"-----BEGIN CERTIFICATE-----\nx").decode()
    again = api.request("PUT", f"{PATH}/c-life/status", current)
    assert "updates may not modify existing certificate content" in again.json["message"]


def test_patches_of_approval_are_what_kubectl_sends(api: RunningServer) -> None:
    api.request("POST", PATH, body("c-patch"))
    patch = {"status": {"conditions": [{"type": "Denied", "status": "True", "reason": "No"}]}}
    done = api.request("PATCH", f"{PATH}/c-patch/approval", patch, content_type="application/merge-patch+json")
    assert done.json["status"]["conditions"][0]["type"] == "Denied"
    spec = {"spec": {"signerName": "other.com/x"}}
    same = api.request("PATCH", f"{PATH}/c-patch", spec, content_type="application/merge-patch+json")
    assert same.json["spec"]["signerName"] == SIGNER


def test_what_is_refused(api: RunningServer) -> None:
    def complaint(made: dict[str, Any]) -> str:
        answer = api.request("POST", PATH, made)
        assert answer.status in (403, 422), answer.body
        return str(answer.json["message"])

    garbage = base64.b64encode(b"garbage").decode()
    assert "PEM block type must be CERTIFICATE REQUEST" in complaint(body("c", request=garbage))
    assert 'spec.usages[0]: Unsupported value: "flying"' in complaint({**body("c"), "spec": {
        **body("c")["spec"], "usages": ["flying"]}})  # fmt: skip
    assert "must be a fully qualified domain and path" in complaint(body("c", signer="plain"))
    assert "may not specify a duration less than 600 seconds" in complaint(body("c", expirationSeconds=5))
    masters = body("c", "kubernetes.io/kube-apiserver-client", request_for("eve", "system:masters"))
    assert "signer with system:masters group is not allowed" in complaint(masters)
    assert "the legacy signerName is not allowed" in complaint(body("c", signer="kubernetes.io/legacy-unknown"))


def test_approving_needs_the_right_on_the_signer(api: RunningServer) -> None:
    api.request("POST", PATH, body("c-right"))
    group = "rbac.authorization.k8s.io"
    rules = [{"apiGroups": ["certificates.k8s.io"], "resources": ["certificatesigningrequests",
              "certificatesigningrequests/approval"], "verbs": ["*"]}]  # fmt: skip
    roles, bindings = f"/apis/{group}/v1/clusterroles", f"/apis/{group}/v1/clusterrolebindings"
    api.request("POST", roles, {"metadata": {"name": "csr-editor"}, "rules": rules})
    ref = {"apiGroup": group, "kind": "ClusterRole", "name": "csr-editor"}
    subject = {"apiGroup": group, "kind": "User", "name": "carol"}
    api.request("POST", bindings, {"metadata": {"name": "csr-editor"}, "roleRef": ref, "subjects": [subject]})
    tls = api.tls("carol")
    refused = verdict(api, "c-right", "Approved", token=None, tls=tls)
    assert refused.status == 403
    assert f'user not permitted to approve requests with signerName "{SIGNER}"' in refused.json["message"]
    rules.append({"apiGroups": ["certificates.k8s.io"], "resources": ["signers"], "verbs": ["approve"],
                  "resourceNames": ["example.com/*"]})  # fmt: skip
    api.request("PATCH", f"{roles}/csr-editor", {"rules": rules}, content_type="application/merge-patch+json")
    assert verdict(api, "c-right", "Approved", token=None, tls=tls).status == 200
